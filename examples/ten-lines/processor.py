import http.server, json, sys
class Processor(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
        count = (batch["state"] or 0) + len(batch["events"])
        append = [] if batch["replay"] else [{"type": "counted", "payload": {"count": count}}]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"state": count, "append": append}).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Processor).serve_forever()

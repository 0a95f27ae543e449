import json, sys, wsgiref.simple_server
def processor(request, respond):
    batch = json.loads(request["wsgi.input"].read(int(request["CONTENT_LENGTH"])))
    count = (batch["state"] or 0) + len(batch["events"])
    append = [] if batch["replay"] else [{"type": "counted", "payload": {"count": count}}]
    respond("200 OK", [])
    return [json.dumps({"state": count, "append": append}).encode()]
wsgiref.simple_server.make_server("127.0.0.1", int(sys.argv[1]), processor).serve_forever()

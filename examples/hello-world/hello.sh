# Says hello, and reads what everybody said: sh hello.sh
url=${TAILRACE_URL:-http://localhost:8787}/api/streams/hello-world

curl -sS --fail-with-body "$url" -d '{"type":"message","payload":{"text":"Hello from the shell!"}}'
curl -sS --fail-with-body "$url?types=message"

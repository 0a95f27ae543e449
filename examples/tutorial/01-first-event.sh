url=${TAILRACE_URL:-http://localhost:8787}

curl -sS "$url/api/streams/tutorial" -d '{"type":"message","payload":{"text":"Is anybody there?"}}'

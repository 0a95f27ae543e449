url=${TAILRACE_URL:-http://localhost:8787}

curl -sS "$url/api/streams/tutorial"
curl -sS "$url/api/streams/tutorial?types=message&last=1"

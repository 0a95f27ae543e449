url=${TAILRACE_URL:-http://localhost:8787}

node say.mjs "Spawn a poet who writes one line about water, and tell me the line."
curl -sS "$url/api/children/tutorial/anna?details=true"

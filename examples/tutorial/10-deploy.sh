# TAILRACE_URL=https://tailrace.you.workers.dev TAILRACE_TOKEN=a-long-secret OPENAI_API_KEY=sk-… sh 10-deploy.sh
set -e
cd ../..
npm run deploy
printf '%s' "$TAILRACE_TOKEN" | npx wrangler secret put TAILRACE_TOKEN
printf '{"value":"%s","send":["api.openai.com"]}' "$OPENAI_API_KEY" | npx wrangler secret put TAILRACE_SECRET_OPENAI

cd examples/tutorial
node 06-agent.mjs
node say.mjs "Where are you now?"

// The model that the demo's agent has: a real one when there is a key for it, else one that plays a script.
import { LLMock } from "@copilotkit/aimock";
import { answer } from "./script.mjs";

const providers = [
  {
    title: "OpenAI",
    api: "chat",
    key: "OPENAI_API_KEY",
    at: "OPENAI_BASE_URL",
    baseUrl: "https://api.openai.com/v1",
    model: "gpt-4.1-mini",
  },
  {
    title: "Anthropic",
    api: "messages",
    key: "ANTHROPIC_API_KEY",
    at: "ANTHROPIC_BASE_URL",
    baseUrl: "https://api.anthropic.com/v1",
    model: "claude-haiku-4-5",
  },
];

/**
 * @param {NodeJS.ProcessEnv} env where keys are looked for
 * @param {{token: number}} pace milliseconds between what the script says
 * @returns {Promise<{name: string, agent: object, vars: Record<string, string>, stop(): unknown}>} `agent` is what the
 *   target says of the model, `vars` the Worker's variables: the key is in these alone
 */
export async function aModel(env, pace) {
  const provider = providers.find(({ key }) => env[key]);
  return provider ? real(provider, env) : scripted(pace);
}

function real({ title, api, key, at, baseUrl, model }, env) {
  const url = env[at] || baseUrl;
  const name = env.TAILRACE_DEMO_MODEL || model;
  const secret = { value: env[key], send: [new URL(url).hostname] };
  return {
    name: `${name} of ${title}`,
    agent: { api, baseUrl: url, model: name, secret: "DEMO_MODEL" },
    vars: { TAILRACE_SECRET_DEMO_MODEL: JSON.stringify(secret) },
    stop: () => {},
  };
}

async function scripted({ token }) {
  const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
  mock.on({ predicate: () => true }, answer, { latency: token, chunkSize: 6 });
  await mock.start();
  return {
    name: "a script, for no key is set",
    agent: { api: "chat", baseUrl: `${mock.url}/v1`, model: "script" },
    vars: {},
    stop: () => mock.stop(),
  };
}

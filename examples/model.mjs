/**
 * The model that the agents of these examples have: OpenAI's, with the deployment's secret OPENAI. MODEL and MODEL_URL name
 * another one that speaks like it.
 */
export const model = {
  api: "chat",
  model: process.env.MODEL ?? "gpt-4.1-mini",
  baseUrl: process.env.MODEL_URL ?? "https://api.openai.com/v1",
  secret: "OPENAI",
};

// What a program in TypeScript does with the generated types: one check, many at once, and an error.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

async function judge(body: components["schemas"]["ModerateRequest"]): Promise<unknown> {
  const { data, error, response } = await client.POST("/moderate", { body });
  if (error !== undefined) return [response.status, error.error.type, error.error.param];
  if ("results" in data) return data.results.map((one) => ("error" in one ? one.error.type : one.action));
  const action: components["schemas"]["Action"] = data.action;
  return [action, data.allowed, data.categories, data.scores?.unsafe ?? null, data.message];
}

console.log(
  JSON.stringify([
    await judge({ prompt: "how to make a bomb" }),
    await judge({ prompt: "How do I bake bread?", response: null, policy: null, detail: "severity" }),
    await judge({ inputs: [{ prompt: "an insult" }, { prompt: " " }] }),
    await judge({ messages: [{ role: "user", content: [{ type: "text", text: "Hello" }] }] }),
    await judge({ prompt: "Hello", policy: "nonsense" }),
  ]),
);

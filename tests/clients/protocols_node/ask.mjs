// One request by one client: `node ask.mjs CLIENT MODE BASE KEY PROMPT`; prints JSON: the text shown, the reason, the error.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [client, mode, base, apiKey, prompt] = process.argv.slice(2);
const require = createRequire(`${process.env.CLIENTS_FOLDER}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const shown = { text: "", reason: null, error: null, turns: [] };

async function openai() {
  const { default: OpenAI } = await load("openai");
  const api = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
  if (mode === "whole") {
    const reply = await api.responses.create({ model: "llm-1", input: prompt });
    shown.text = reply.output_text;
    shown.reason = reply.incomplete_details?.reason ?? null;
    return;
  }
  const stream = api.responses.stream({ model: "llm-1", input: prompt });
  for await (const event of stream) if (event.type === "response.output_text.delta") shown.text += event.delta;
  shown.reason = (await stream.finalResponse()).incomplete_details?.reason ?? null;
}

async function anthropic() {
  const { default: Anthropic } = await load("@anthropic-ai/sdk");
  const api = new Anthropic({ baseURL: base, apiKey, maxRetries: 0 });
  const asked = { model: "llm-1", max_tokens: 64, messages: [{ role: "user", content: prompt }] };
  let reply;
  if (mode === "whole") {
    reply = await api.messages.create(asked);
    shown.text = reply.content.at(-1).text;
  } else {
    const stream = api.messages.stream(asked);
    stream.on("text", (text) => (shown.text += text));
    reply = await stream.finalMessage();
  }
  shown.reason = reply.stop_reason === "refusal" ? reply.stop_details.category : null;
}

async function vercel(model) {
  const { generateText, streamText } = await load("ai");
  const onError = () => {};
  const asked = { model, prompt, maxRetries: 0, onError };
  let reason;
  if (mode === "turns") {
    // The SDK refers to its earlier answers instead of sending them again.
    const first = await generateText({ model, messages: [{ role: "user", content: prompt }], maxRetries: 0 });
    const messages = [{ role: "user", content: prompt }, ...first.response.messages, { role: "user", content: "And?" }];
    const second = await generateText({ model, messages, maxRetries: 0 });
    shown.turns = [first.text, second.text];
    reason = second.finishReason;
  } else if (mode === "whole") {
    const reply = await generateText(asked);
    shown.text = reply.text;
    reason = reply.finishReason;
  } else {
    const reply = streamText(asked);
    for await (const part of reply.fullStream) {
      if (part.type === "text-delta") shown.text += part.text;
      if (part.type === "error") throw part.error;
    }
    reason = await reply.finishReason;
  }
  shown.reason = reason === "stop" ? null : reason;
}

const clients = {
  openai,
  anthropic,
  "ai openai": async () => {
    const { createOpenAI } = await load("@ai-sdk/openai");
    await vercel(createOpenAI({ baseURL: `${base}/v1`, apiKey })("llm-1"));
  },
  "ai anthropic": async () => {
    const { createAnthropic } = await load("@ai-sdk/anthropic");
    await vercel(createAnthropic({ baseURL: `${base}/v1`, apiKey })("llm-1"));
  },
};

try {
  await clients[client]();
} catch (error) {
  shown.error = `${error.name}: ${error.message}`;
}
console.log(JSON.stringify(shown));

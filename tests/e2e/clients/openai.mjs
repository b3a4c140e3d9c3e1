// The official client, by its own helpers.
import OpenAI, { APIError } from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { IMAGE, Meeting, Place, QUESTION, TOOL, weather } from "./common.mjs";

const client = (on) =>
  new OpenAI({ baseURL: on.baseUrl, apiKey: on.key, maxRetries: on.retries ?? 0, timeout: on.timeoutMs });
const ask = (on, content = QUESTION) => ({
  model: on.model,
  messages: [{ role: "user", content }],
  max_tokens: on.maxTokens,
  temperature: on.temperature,
});
const used = (usage) => usage && [usage.prompt_tokens, usage.completion_tokens];
const format = () => zodResponseFormat(Meeting, "meeting");
const tools = (on) => [zodFunction({ ...TOOL, parameters: Place, function: weather(on.seen) })];

async function create(on, content) {
  const answer = await client(on).chat.completions.create(ask(on, content), { signal: on.signal });
  on.seen.text = answer.choices[0].message.content;
  on.seen.finish = answer.choices[0].finish_reason;
  on.seen.usage = used(answer.usage);
}

export const scenarios = {
  whole: (on) => create(on),

  image: (on) =>
    create(on, [
      { type: "text", text: QUESTION },
      { type: "image_url", image_url: { url: IMAGE } },
    ]),

  async streamed(on) {
    const body = { ...ask(on), stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client(on).chat.completions.create(body, { signal: on.signal })) {
      on.piece(chunk.choices[0]?.delta.content);
      on.seen.finish = chunk.choices[0]?.finish_reason ?? on.seen.finish;
      on.seen.usage = used(chunk.usage) ?? on.seen.usage;
    }
  },

  async tools(on) {
    const runner = client(on).chat.completions.runTools({ ...ask(on), tools: tools(on) });
    on.seen.text = await runner.finalContent();
  },

  async streamedTools(on) {
    const runner = client(on).chat.completions.runTools({ ...ask(on), tools: tools(on), stream: true });
    runner.on("content", (delta) => on.piece(delta));
    on.seen.text = await runner.finalContent();
  },

  async structured(on) {
    const answer = await client(on).chat.completions.parse({ ...ask(on), response_format: format() });
    on.seen.object = answer.choices[0].message.parsed;
    on.seen.refusal = answer.choices[0].message.refusal;
  },

  async streamedStructured(on) {
    const stream = client(on).chat.completions.stream({ ...ask(on), response_format: format() });
    stream.on("content", (delta) => on.piece(delta));
    on.seen.object = (await stream.finalChatCompletion()).choices[0].message.parsed;
  },

  async withResponse(on) {
    const call = client(on).chat.completions.create({ ...ask(on), stream: on.stream ?? false });
    const { data, response, request_id } = await call.withResponse();
    on.seen.headers = Object.fromEntries(response.headers);
    on.seen.requestId = request_id;
    if (on.stream) for await (const chunk of data) on.piece(chunk.choices[0]?.delta.content);
  },

  async models(on) {
    on.seen.models = [];
    for await (const model of client(on).models.list()) on.seen.models.push(model.id);
  },

  async model(on) {
    on.seen.model = await client(on).models.retrieve(on.model);
  },
};

export const told = (error) =>
  error instanceof APIError
    ? {
        class: error.constructor.name,
        api: true,
        status: error.status,
        code: error.code,
        param: error.param,
        type: error.type,
        requestId: error.requestID,
        retryAfter: error.headers?.get("retry-after"),
      }
    : {};

// LangChain's chat model for OpenAI.
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { APIError } from "openai";
import { IMAGE, Meeting, Place, QUESTION, TOOL, weather } from "./common.mjs";

const model = (on) =>
  new ChatOpenAI({
    model: on.model,
    apiKey: on.key,
    configuration: { baseURL: on.baseUrl },
    maxRetries: on.retries ?? 0,
    timeout: on.timeoutMs,
    maxTokens: on.maxTokens,
    temperature: on.temperature,
  });
const used = (usage) => usage && [usage.input_tokens, usage.output_tokens];

async function invoke(on, content = QUESTION) {
  const answer = await model(on).invoke([new HumanMessage({ content })], {
    signal: on.signal,
    callbacks: [{ handleLLMEnd: (output) => (on.seen.told = output.llmOutput?.tokenUsage) }],
  });
  on.seen.text = answer.text;
  on.seen.finish = answer.response_metadata.finish_reason;
  on.seen.usage = used(answer.usage_metadata);
}

/** The pieces of one message, put together as LangChain does it. */
async function gather(on, runnable, messages) {
  let whole;
  for await (const chunk of await runnable.stream(messages, { signal: on.signal })) {
    on.piece(chunk.text);
    whole = whole ? whole.concat(chunk) : chunk;
  }
  return whole;
}

/** Ask, do as the model says, and ask again, until it has no more calls. */
async function converse(on, next) {
  const weatherTool = tool(weather(on.seen), { ...TOOL, schema: Place });
  const runnable = model(on).bindTools([weatherTool]);
  const messages = [new HumanMessage(QUESTION)];
  for (;;) {
    const answer = await next(runnable, messages);
    messages.push(answer);
    if (!answer.tool_calls?.length) {
      on.seen.text = answer.text;
      return;
    }
    for (const call of answer.tool_calls) messages.push(await weatherTool.invoke(call));
  }
}

const structured = (on, method = "jsonSchema") => model(on).withStructuredOutput(Meeting, { name: "meeting", method });

export const scenarios = {
  whole: (on) => invoke(on),

  image: (on) =>
    invoke(on, [
      { type: "text", text: QUESTION },
      { type: "image_url", image_url: { url: IMAGE } },
    ]),

  async streamed(on) {
    const answer = await gather(on, model(on), QUESTION);
    on.seen.finish = answer.response_metadata.finish_reason;
    on.seen.usage = used(answer.usage_metadata);
  },

  tools: (on) => converse(on, (runnable, messages) => runnable.invoke(messages)),
  streamedTools: (on) => converse(on, (runnable, messages) => gather(on, runnable, messages)),

  async structured(on) {
    on.seen.object = await structured(on).invoke(QUESTION);
  },

  async structuredByTool(on) {
    on.seen.object = await structured(on, "functionCalling").invoke(QUESTION);
  },

  async streamedStructured(on) {
    on.seen.partial = [];
    for await (const each of await structured(on).stream(QUESTION)) on.seen.partial.push(each);
    on.seen.object = on.seen.partial.at(-1);
  },
};

export const told = (error) =>
  error instanceof APIError
    ? {
        api: true,
        status: error.status,
        code: error.code,
        param: error.param,
        type: error.type,
        requestId: error.requestID,
        retryAfter: error.headers?.get("retry-after"),
      }
    : {};

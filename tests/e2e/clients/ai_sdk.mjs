// The Vercel AI SDK by `@ai-sdk/openai-compatible`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, isStepCount, Output, RetryError, streamText, tool } from "ai";
import { IMAGE, Meeting, Place, QUESTION, TOOL, weather } from "./common.mjs";

const provider = (on) =>
  createOpenAICompatible({
    name: "sluice",
    baseURL: on.baseUrl,
    apiKey: on.key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
const ask = (on) => ({
  model: provider(on)(on.model),
  prompt: QUESTION,
  maxRetries: on.retries ?? 0,
  abortSignal: on.signal,
  maxOutputTokens: on.maxTokens,
  temperature: on.temperature,
});
const tools = (on) => ({
  tools: {
    [TOOL.name]: tool({ description: TOOL.description, inputSchema: Place, execute: weather(on.seen) }),
  },
  stopWhen: isStepCount(5),
});
const used = (usage) => [usage.inputTokens, usage.outputTokens];

async function generate(on, more) {
  const answer = await generateText({ ...ask(on), ...more });
  on.seen.text = answer.text;
  on.seen.reasoning = answer.reasoningText;
  on.seen.finish = answer.finishReason;
  on.seen.usage = used(answer.usage);
  on.seen.steps = answer.steps.length;
  on.seen.headers = answer.response.headers;
  return answer;
}

/** Errors are parts of the stream there: the first of them is thrown, once the stream has ended. */
async function stream(on, more) {
  let failure;
  const onError = ({ error }) => {
    failure ??= error;
  };
  const answer = streamText({ ...ask(on), ...more, onError });
  for await (const text of answer.textStream) on.piece(text);
  if (failure) throw failure;
  on.signal.throwIfAborted();
  on.seen.text = await answer.text;
  on.seen.reasoning = await answer.reasoningText;
  on.seen.finish = await answer.finishReason;
  on.seen.usage = used(await answer.usage);
  on.seen.steps = (await answer.steps).length;
  return answer;
}

export const scenarios = {
  whole: (on) => generate(on),

  image(on) {
    const content = [
      { type: "text", text: QUESTION },
      { type: "file", mediaType: "image/png", data: IMAGE.split(",")[1] },
    ];
    return generate(on, { prompt: undefined, messages: [{ role: "user", content }] });
  },

  streamed: (on) => stream(on),
  tools: (on) => generate(on, tools(on)),
  streamedTools: (on) => stream(on, tools(on)),

  async structured(on) {
    on.seen.object = (await generate(on, { output: Output.object({ schema: Meeting }) })).output;
  },

  async streamedStructured(on) {
    const answer = streamText({ ...ask(on), output: Output.object({ schema: Meeting }) });
    on.seen.partial = [];
    for await (const each of answer.partialOutputStream) on.seen.partial.push(each);
    on.seen.object = await answer.output;
  },
};

export function told(error) {
  const last = RetryError.isInstance(error) ? error.lastError : error;
  if (!APICallError.isInstance(last)) return {};
  return {
    api: true,
    status: last.statusCode,
    ...last.data?.error,
    message: last.message,
    retryable: last.isRetryable,
    requestId: last.responseHeaders?.["x-request-id"],
    retryAfter: last.responseHeaders?.["retry-after"],
  };
}

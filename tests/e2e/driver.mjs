// Plays scenarios of one client, `node driver.mjs CLIENT`: a line of JSON asks for one, a line tells what the client saw.
// A line with `abort` is for the scenario that is running. Standard output is for those lines alone.
import { createInterface } from "node:readline";

console.log = console.info = console.warn = console.error;
const PATIENCE_MS = 10_000;
const { scenarios, told } = await import(`./clients/${process.argv[2]}.mjs`);
let controller;

/** What a scenario is handed: where to ask, and how to tell. */
function stage(asked) {
  const seen = { pieces: [] };
  controller = new AbortController();
  const { signal } = controller;
  const piece = (text) => {
    if (!text) return;
    seen.pieces.push(text);
    if (asked.leaveAt === seen.pieces.length) controller.abort();
  };
  return { ...asked, seen, signal, piece };
}

async function play(asked) {
  const on = stage(asked);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("The scenario did not end.")), PATIENCE_MS);
  });
  try {
    await Promise.race([scenarios[asked.scenario](on), late]);
  } catch (error) {
    on.seen.error = { name: error?.name, class: error?.constructor?.name, message: error?.message, ...told(error) };
  } finally {
    clearTimeout(timer);
  }
  process.stdout.write(`${JSON.stringify(on.seen)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.abort) controller.abort();
  else play(asked);
}

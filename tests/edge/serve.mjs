/**
 * The Workers of a deployment behind one HTTP server: their own code in Pyodide, on the real D1 and KV (workerd's).
 *
 *     node serve.mjs <plan.json>          (see `serving.py`)
 *     < {"url": "http://127.0.0.1:8787", "import_ms": 900}     how long the Workers' modules took to import
 *     > {"id": 1, "ask": "statements", "statements": [[sql, values], ...]}   what is in D1
 *     > {"id": 2, "ask": "drain"}           what was left behind, once all work of all requests is done
 *     > {"id": 3, "ask": "scheduled", "worker": "jobs", "cron": "0 * * * *"}
 *     > {"id": 4, "ask": "fault", "fault": "D1_ERROR: ..."}                  D1 fails with it, until told otherwise
 *     > {"id": 4, "ask": "fault", "store": "KV", "fault": "silence"}         KV, or D1, answers only when told otherwise
 *     > {"id": 4, "ask": "held"}            once a silent D1 has been asked
 *     > {"id": 5, "ask": "bind", "name": "KV", "bound": false}
 *
 * What it does not show: workerd's own streams and limits, its snapshot, its clocks that stand still, and that nothing
 * of a request's may be used in another's.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Console } from "node:console";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

import { boot, giveWorkerModules, readJson } from "./pyodide.mjs";
import { openStores } from "./stores.mjs";

const DRAIN_MS = 30_000; // what the platform gives to work after the response

const plan = readJson(process.argv[2]);
const stores = openStores(plan);
const current = new AsyncLocalStorage();
const crossings = [];
let requests = 0;
const env = { DB: watched(stores.DB, "batch"), KV: watched(stores.KV, "get", "put", "delete", "list"), ...plan.variables };
watched(globalThis, "fetch");

globalThis.console = new Console(process.stderr); // the Workers' log: standard output is the protocol's
const rejections = [];
const timers = countTimers();
process.on("unhandledRejection", (reason) => rejections.push(String(reason)));

const { py, inside, workers, importMs } = await start().catch((error) => {
  process.stderr.write(`${String(error.message ?? error).slice(-2000)}\n`); // Node would print whole minified files
  process.exit(1);
});
// as the routes of a zone: whose path is the longest that fits
const routes = plan.workers.flatMap(({ name, paths }) => paths.map((path) => [path, name]));
routes.sort(([one], [other]) => other.length - one.length);
const workerFor = (path) => workers.get((routes.find(([route]) => path.startsWith(route)) ?? ["", plan.fallback])[1]);

async function start() {
  const py = await boot(plan.folders);
  giveWorkerModules(py, env);
  const inside = py.pyimport("tests.edge.inside.worker_calls");
  const begun = performance.now();
  const workers = new Map(plan.workers.map(({ name, module }) => [name, inside.load(module)]));
  return { py, inside, workers, importMs: performance.now() - begun };
}

/**
 * In Python a request is known by a context variable, here by what called us back. Where the two differ, a request goes
 * on in another's context: it waited for something that the other has set. The platform forbids that.
 */
function watched(owner, ...names) {
  for (const name of names) {
    const real = owner[name].bind(owner);
    owner[name] = (...args) => {
      if (inside.number() !== (current.getStore() ?? 0)) crossings.push(name);
      return real(...args);
    };
  }
  return owner;
}

/** Those that are set and neither cleared nor rung, but for the ones that ring at once, and Node's own for `fetch`. */
function countTimers() {
  const pending = new Set();
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = (callback, delay, ...args) => {
    const timer = setTimeout((...given) => (pending.delete(timer), callback(...given)), delay, ...args);
    if (delay > 100 && !new Error().stack.includes("undici")) pending.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => (pending.delete(timer), clearTimeout(timer));
  return pending;
}

/** The platform's second argument: what a request leaves to be done. */
class ExecutionContext {
  static waiting = new Set();
  waitUntil(promise) {
    const waited = Promise.resolve(promise).finally(() => ExecutionContext.waiting.delete(waited));
    ExecutionContext.waiting.add(waited);
  }
}

async function answer(incoming, outgoing, number) {
  const leaving = new AbortController();
  outgoing.on("close", () => {
    if (outgoing.writableFinished) return;
    current.run(number, () => leaving.abort(new DOMException("The client has left.", "AbortError")));
  });
  const url = new URL(incoming.url, `http://${incoming.headers.host ?? "localhost"}`);
  const hasBody = !["GET", "HEAD"].includes(incoming.method);
  const request = new Request(url, {
    method: incoming.method,
    headers: Object.entries(incoming.headersDistinct).flatMap(([name, values]) => values.map((value) => [name, value])),
    body: hasBody ? Readable.toWeb(incoming) : null,
    duplex: "half",
    signal: leaving.signal,
  });
  const response = await call(workerFor(url.pathname), request, number);
  for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
  outgoing.writeHead(response.status);
  if (response.body === null) return outgoing.end();
  await pump(response.body.getReader(), outgoing, incoming.headers["x-edge-leaving"] !== "stop");
}

/** `cancels`: whether whoever stops reading says so, as newer releases of the platform do; else writes just wait. */
async function pump(reader, outgoing, cancels) {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (outgoing.closed) break;
      if (done) return outgoing.end();
      if (!outgoing.write(value)) await new Promise((resolve) => outgoing.once("drain", resolve).once("close", resolve));
      if (outgoing.closed) break;
    }
    if (cancels) await reader.cancel();
  } catch {
    outgoing.destroy(); // the answer broke off
  }
}

async function call(worker, request, number) {
  const coroutine = inside.fetch(worker, request, new ExecutionContext(), env, number);
  try {
    return await coroutine;
  } finally {
    coroutine.destroy();
  }
}

const asked = {
  async statements({ statements }) {
    const results = await stores.DB.batch(statements.map(([sql, values]) => stores.DB.prepare(sql).bind(...values)));
    return { rows: results.map(({ results }) => results.map((row) => Object.values(row))) };
  },
  async drain() {
    const end = Date.now() + DRAIN_MS;
    while (ExecutionContext.waiting.size && Date.now() < end) await sleep(5);
    await sleep(20); // what is ready to run runs
    const objects = inside.objects();
    return {
      waiting: ExecutionContext.waiting.size,
      proxies: py._module.pyproxy_alloc_map.size,
      objects,
      timers: timers.size,
      memory: py._module.HEAP8.length,
      written: stores.DB.written,
      batches: stores.DB.batches,
      rejections: rejections.splice(0),
      crossings: crossings.splice(0),
    };
  },
  async scheduled({ worker, cron }) {
    await inside.scheduled(workers.get(worker), cron, new ExecutionContext(), env);
    return {};
  },
  async bind({ name, bound }) {
    if (bound) env[name] = stores[name];
    else delete env[name];
    return {};
  },
  async fault({ store = "DB", fault }) {
    stores.lines[store].fail(fault ?? null);
    return {};
  },
  async held() {
    while (!stores.lines.DB.held.length) await sleep(1);
    return {};
  },
};

const server = createServer((incoming, outgoing) => {
  const number = ++requests;
  current.run(number, answer, incoming, outgoing, number).catch((error) => {
    process.stderr.write(`${String(error.stack ?? error).slice(0, 2000)}\n`);
    outgoing.destroy();
  });
});
server.listen(plan.port, plan.host, () => {
  const url = `http://${plan.host}:${server.address().port}`;
  process.stdout.write(`${JSON.stringify({ url, import_ms: importMs })}\n`);
});

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ask, ...rest } = JSON.parse(line);
  asked[ask](rest).then(
    (outcome) => process.stdout.write(`${JSON.stringify({ id, ...outcome })}\n`),
    (error) => process.stdout.write(`${JSON.stringify({ id, error: String(error.message ?? error).slice(-2000) })}\n`),
  );
}
await stores.dispose();
process.exit(0); // timers of the event loop may be pending

/**
 * The real D1 and KV (workerd's), and facades of them as a Worker's bindings.
 *
 * A Worker of our own in workerd carries out what the facades are asked: through wrangler's platform proxy each
 * statement is two more round trips, and each property that Pyodide looks at is one.
 */
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const WORKER = `
const acts = {
  async batch({ DB }, statements) {
    const prepared = statements.map(([sql, values]) => DB.prepare(sql).bind(...values));
    return await DB.batch(prepared);
  },
  get: ({ KV }, ...args) => KV.get(...args),
  put: ({ KV }, ...args) => KV.put(...args),
  delete: ({ KV }, ...args) => KV.delete(...args),
  list: ({ KV }, ...args) => KV.list(...args),
};
export default {
  async fetch(request, env) {
    const [act, ...args] = await request.json();
    try {
      return Response.json({ value: (await acts[act](env, ...args)) ?? null });
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};`;

/** What D1 says to values that it does not bind. */
function check(value) {
  if (value === null || ["number", "string", "boolean"].includes(typeof value)) return value;
  throw new Error(`D1_TYPE_ERROR: Type '${typeof value}' not supported for value '${value}'`);
}

class D1PreparedStatement {
  constructor(sql, values = []) {
    Object.assign(this, { sql, values });
  }
  bind(...values) {
    return new D1PreparedStatement(this.sql, values.map(check));
  }
}

class D1Database {
  #ask;
  written = 0; // rows, as D1 would bill them
  batches = 0;
  constructor(ask) {
    this.#ask = ask;
  }
  prepare(sql) {
    return new D1PreparedStatement(sql);
  }
  async batch(statements) {
    const results = await this.#ask("batch", statements.map(({ sql, values }) => [sql, values]));
    this.batches++;
    for (const { meta } of results) this.written += meta.rows_written;
    return results;
  }
}

class KvNamespace {
  constructor(ask) {
    this.get = (...args) => ask("get", ...args);
    this.put = (...args) => ask("put", ...args);
    this.delete = (...args) => ask("delete", ...args);
    this.list = (...args) => ask("list", ...args);
  }
}

/** What stands between a facade and its store: what it fails with, or that it answers later. */
class Line {
  #fault = null;
  held = []; // who waits for it to answer again
  constructor(ask) {
    this.ask = async (...act) => {
      if (this.#fault === "silence") await new Promise((go) => this.held.push(go));
      else if (this.#fault !== null) throw new Error(this.#fault);
      return ask(...act);
    };
  }
  fail(fault) {
    this.#fault = fault;
    for (const go of this.held.splice(0)) go();
  }
}

/** The bindings; `state`: a folder that keeps them, as `wrangler --persist-to` does. */
export function openStores({ compatibilityDate, databaseId, state }) {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: WORKER,
      compatibilityDate,
      d1Databases: { DB: databaseId },
      kvNamespaces: { KV: "sluice" },
      resourcePersistencePath: `${state}/v3`,
    }),
  );
  async function ask(...act) {
    const answer = await miniflare.dispatchFetch("http://stores/", { method: "POST", body: JSON.stringify(act) });
    const { value, error } = await answer.json();
    if (error !== undefined) throw new Error(error);
    return value;
  }
  const lines = { DB: new Line(ask), KV: new Line(ask) };
  return {
    DB: new D1Database(lines.DB.ask),
    KV: new KvNamespace(lines.KV.ask),
    lines,
    dispose: () => miniflare.dispose(),
  };
}

/**
 * The adapters of Workers in Pyodide, behind a line protocol, many calls at once: D1 and KV over the real ones
 * (workerd's), and the platform's `fetch`, which here is Node's.
 *
 *     node d1.mjs <wrangler.json> <state>
 *     > {"id": 7, "statements": [["SELECT ?1 AS n", [1]], ...]}
 *     < {"id": 7, "rows": [[[1]], ...], "written": 0}     or     {"id": 7, "error": "..."}
 *     > {"id": 8, "kv": ["get", ["a name"], {}]}          a method of `Namespace`
 *     < {"id": 8, "value": "what it gave"}
 *     > {"id": 9, "fetch": ["read", 3]}                   see `inside/fetch_door.py`
 *
 * `written`: rows since the line before. Ends when its input does.
 */
import { createInterface } from "node:readline";

import { boot, readJson } from "./pyodide.mjs";
import { openStores } from "./stores.mjs";

const [configPath, state] = process.argv.slice(2);
const config = readJson(configPath);
const stores = openStores({
  compatibilityDate: config.compatibility_date,
  databaseId: config.d1_databases[0].database_id,
  state,
});
const py = await boot({ common: "common", "tests/edge/inside": "tests/edge/inside" });
const doors = py.pyimport("tests.edge.inside.d1_door");
const exchange = py.pyimport("tests.edge.inside.fetch_door").door();
const [database, namespace] = [doors.database(stores.DB), doors.namespace(stores.KV)];

let told = 0;
async function answer(line) {
  const { id, statements, kv, fetch } = JSON.parse(line);
  const [door, what] = kv ? [namespace, kv] : fetch ? [exchange, fetch] : [database, statements];
  const outcome = await door(JSON.stringify(what));
  const written = stores.DB.written - told;
  told += written;
  process.stdout.write(`{"id": ${id}, "written": ${written}, ${outcome}}\n`);
}

const answers = [];
for await (const line of createInterface({ input: process.stdin })) answers.push(answer(line));
await Promise.all(answers);
await stores.dispose();
process.exit(0); // timers of the event loop may be pending

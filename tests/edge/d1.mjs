/**
 * The D1 adapter in Pyodide, over the real D1 (workerd's), behind a line protocol, many batches at once.
 *
 *     node d1.mjs <wrangler.json> <state>
 *     > {"id": 7, "statements": [["SELECT ?1 AS n", [1]], ...]}
 *     < {"id": 7, "rows": [[[1]], ...], "written": 0}     or     {"id": 7, "error": "..."}
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
const door = py.pyimport("tests.edge.inside.d1_door").door(stores.DB);

let told = 0;
async function answer(line) {
  const { id, statements } = JSON.parse(line);
  const outcome = await door(JSON.stringify(statements));
  const written = stores.DB.written - told;
  told += written;
  process.stdout.write(`{"id": ${id}, "written": ${written}, ${outcome}}\n`);
}

const answers = [];
for await (const line of createInterface({ input: process.stdin })) answers.push(answer(line));
await Promise.all(answers);
await stores.dispose();
process.exit(0); // timers of the event loop may be pending

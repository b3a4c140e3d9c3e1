/**
 * The real D1 (workerd's) behind a line protocol, many batches at once.
 *
 *     node d1.mjs <wrangler.json> <state>
 *     > {"id": 7, "statements": [["SELECT ?1 AS n", [1]], ...]}
 *     < {"id": 7, "rows": [[[1]], ...], "written": 0}     or     {"id": 7, "error": "D1_ERROR: ..."}
 *
 * A Worker of our own runs the batches: through wrangler's platform proxy each statement is two more round trips, and
 * the contract suites take three times as long. Ends when its input does.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const [configPath, state] = process.argv.slice(2);
const config = JSON.parse(readFileSync(configPath, "utf8"));

const WORKER = `
async function run(database, statements) {
  const prepared = statements.map(([sql, values]) => database.prepare(sql).bind(...values));
  const results = await database.batch(prepared);
  return {
    rows: results.map(({ results }) => results.map((row) => Object.values(row))),
    written: results.reduce((sum, { meta }) => sum + meta.rows_written, 0),
  };
}

export default {
  async fetch(request, { DB }) {
    const statements = await request.json();
    return Response.json(await run(DB, statements).catch((error) => ({ error: error.message })));
  },
};`;

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    modules: true,
    script: WORKER,
    compatibilityDate: config.compatibility_date,
    d1Databases: { DB: config.d1_databases[0].database_id },
    resourcePersistencePath: `${state}/v3`, // where `wrangler --persist-to <state>` keeps it
  }),
);

async function answer(line) {
  const { id, statements } = JSON.parse(line);
  const request = { method: "POST", body: JSON.stringify(statements) };
  const outcome = await (await miniflare.dispatchFetch("http://d1/", request)).json();
  process.stdout.write(`${JSON.stringify({ id, ...outcome })}\n`);
}

const answers = [];
for await (const line of createInterface({ input: process.stdin })) answers.push(answer(line));
await Promise.all(answers);
await miniflare.dispose();

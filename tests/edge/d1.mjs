/**
 * The real D1 (workerd's, by wrangler's platform proxy) behind a line protocol, many batches at once.
 *
 *     node d1.mjs <wrangler.json> <state>
 *     > {"id": 7, "statements": [["SELECT ?1 AS n", [1]], ...]}
 *     < {"id": 7, "rows": [[[1]], ...], "written": 0}     or     {"id": 7, "error": "D1_ERROR: ..."}
 *
 * Ends when its input does.
 */
import { createInterface } from "node:readline";
import { getPlatformProxy } from "wrangler";

const [configPath, state] = process.argv.slice(2);
const { env, dispose } = await getPlatformProxy({
  configPath,
  persist: { path: `${state}/v3` }, // where `wrangler --persist-to <state>` keeps it
  remoteBindings: false,
});

async function run(statements) {
  const prepared = statements.map(([sql, values]) => env.DB.prepare(sql).bind(...values));
  const results = await env.DB.batch(prepared);
  return {
    rows: results.map(({ results }) => results.map((row) => Object.values(row))),
    written: results.reduce((sum, { meta }) => sum + meta.rows_written, 0),
  };
}

async function answer(line) {
  const { id, statements } = JSON.parse(line);
  const outcome = await run(statements).catch((error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify({ id, ...outcome })}\n`);
}

const answers = [];
for await (const line of createInterface({ input: process.stdin })) answers.push(answer(line));
await Promise.all(answers);
await dispose();

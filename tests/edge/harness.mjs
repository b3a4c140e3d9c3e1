/**
 * Runs the application as a Worker would, offline: the deployed wheels and our own modules under Pyodide in Node.
 * Prints one JSON report, which the Python tests read; everything else goes to stderr.
 *
 *     node harness.mjs
 *
 * What it does not show: workerd's own streams and limits, its snapshot, its clocks that stand still.
 */
import crypto from "node:crypto";

import { open } from "./origin.mjs";
import { Provider } from "./provider.mjs";
import { boot, giveWorkerModules } from "./pyodide.mjs";

const BUNDLE = ["common", "functions", "tests/edge/inside", "tests/support"];

/** Everything that the interpreter draws, C and Rust included, comes through here. */
function countRandomness() {
  const real = crypto.randomFillSync;
  const counter = { drawn: 0 };
  crypto.randomFillSync = (view) => (counter.drawn++, real(view));
  return counter;
}

async function main() {
  const rejections = [];
  process.on("unhandledRejection", (reason) => rejections.push(String(reason)));
  const platform = countRandomness();
  const py = await boot(Object.fromEntries(BUNDLE.map((folder) => [folder, folder])));
  giveWorkerModules(py, {});
  py.registerJsModule("stage", {
    drawn: () => platform.drawn,
    proxies: () => py._module.pyproxy_alloc_map.size,
    provider: new Provider(),
    origin: await open(),
    rejections: () => rejections,
  });
  return await py.runPythonAsync("from tests.edge.inside import report; await report.main()");
}

main().then(
  (report) => process.stdout.write(report, () => process.exit(0)), // timers of the event loop may be pending
  (error) => {
    process.stderr.write(`${String(error.stack ?? error).slice(-4000)}\n`);
    process.exit(1);
  },
);

/**
 * Runs the application as a Worker would, offline: the deployed wheels and our own modules under Pyodide in Node.
 * Prints one JSON report, which the Python tests read; everything else goes to stderr.
 *
 *     node harness.mjs
 *
 * What it does not show: workerd's own streams and limits, its snapshot, its clocks that stand still.
 */
import crypto from "node:crypto";
import { join } from "node:path";
import { loadPyodide } from "pyodide";

import { open } from "./origin.mjs";
import { Provider } from "./provider.mjs";

const HERE = import.meta.dirname;
const BUNDLE = ["common", "functions", "tests/edge/inside", "tests/support"];

/** Everything that the interpreter draws, C and Rust included, comes through here. */
function countRandomness() {
  const real = crypto.randomFillSync;
  const counter = { drawn: 0 };
  crypto.randomFillSync = (view) => (counter.drawn++, real(view));
  return counter;
}

async function boot() {
  const log = (line) => process.stderr.write(`${line}\n`);
  // no byte code beside the sources: this interpreter is not the one that they are developed with
  const py = await loadPyodide({ env: { PYTHONDONTWRITEBYTECODE: "1" }, stdout: log, stderr: log });
  const mount = (root, path) => {
    py.FS.mkdirTree(path);
    py.FS.mount(py.FS.filesystems.NODEFS, { root }, path);
  };
  mount(join(HERE, "python_modules"), "/worker/python_modules");
  for (const folder of BUNDLE) mount(join(HERE, "../..", folder), `/worker/${folder}`);
  return py;
}

async function main() {
  const rejections = [];
  process.on("unhandledRejection", (reason) => rejections.push(String(reason)));
  const platform = countRandomness();
  const py = await boot();
  py._module.enable_pyproxy_allocation_tracing();
  py.registerJsModule("stage", {
    drawn: () => platform.drawn,
    proxies: () => py._module.pyproxy_alloc_map.size,
    provider: new Provider(),
    origin: await open(),
    rejections: () => rejections,
  });
  py.runPython('import sys; sys.path[:0] = ["/worker", "/worker/python_modules"]');
  return await py.runPythonAsync("from tests.edge.inside import report; await report.main()");
}

main().then(
  (report) => process.stdout.write(report, () => process.exit(0)), // timers of the event loop may be pending
  (error) => {
    process.stderr.write(`${String(error.stack ?? error).slice(-4000)}\n`);
    process.exit(1);
  },
);

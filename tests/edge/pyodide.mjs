/**
 * Pyodide in Node as a Worker has it: the deployed wheels, our own modules, and what the SDK expects of the platform.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { loadPyodide } from "pyodide";

const HERE = import.meta.dirname;

/**
 * An interpreter that can import what lies in /worker/bundle, and in /worker.
 * @param {Record<string, string>} folders where each is seen, below /worker: where it is, from the repository's root
 */
export async function boot(folders) {
  const log = (line) => process.stderr.write(`${line}\n`);
  // no byte code beside the sources: this interpreter is not the one that they are developed with
  const py = await loadPyodide({ env: { PYTHONDONTWRITEBYTECODE: "1" }, stdout: log, stderr: log });
  const mounts = { python_modules: "tests/edge/python_modules", ...folders };
  for (const [name, folder] of Object.entries(mounts)) {
    py.FS.mkdirTree(`/worker/${name}`);
    py.FS.mount(py.FS.filesystems.NODEFS, { root: resolve(HERE, "../..", folder) }, `/worker/${name}`);
  }
  py._module.enable_pyproxy_allocation_tracing();
  py.runPython('import sys; sys.path[:0] = ["/worker/bundle", "/worker", "/worker/python_modules"]');
  return py;
}

/** What `workers`, the SDK, finds on the platform. `env`: the bindings. */
export function giveWorkerModules(py, env) {
  py.registerJsModule("_pyodide_entrypoint_helper", {
    cloudflareWorkersModule: { env },
    cloudflareSocketsModule: {},
    workerEntrypoint: class {},
    patchWaitUntil() {},
    doAnImport: (name) => import(name),
  });
  py.registerJsModule("_cloudflare_compat_flags", {
    python_request_headers_preserve_commas: true,
    python_workflows_implicit_dependencies: true,
  });
}

export const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

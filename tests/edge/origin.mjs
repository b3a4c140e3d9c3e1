/** A real HTTP server on loopback, each of whose paths misbehaves in its own way: what the real `fetch` makes of it. */
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

const begin = (answer) => answer.writeHead(200).write("part");

const PATHS = {
  "/pieces": (answer) => {
    answer.writeHead(200, { "X-Repeated": ["a", "b"] }).write("one");
    setTimeout(() => answer.end("two"), 20);
  },
  "/gzip": (answer) => answer.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("plain")),
  "/moved": (answer) => answer.writeHead(302, { location: "/gzip" }).end(),
  "/empty": (answer) => answer.writeHead(204).end(),
  "/cut": (answer) => {
    answer.writeHead(200, { "content-length": "100" }).write("part");
    setTimeout(() => answer.destroy(), 20);
  },
  "/hang-up": (answer) => answer.destroy(),
  "/silent": () => {},
  "/stalled": begin,
  "/trickle": (answer) => {
    begin(answer);
    const timer = setInterval(() => answer.write("part"), 20);
    answer.on("close", () => clearInterval(timer));
  },
  "/endless": begin,
  "/endless-too": begin,
};

/** Open it: its address, an address where nobody listens, what each path was asked, a promise of each being left. */
export async function open() {
  const leaving = Object.fromEntries(Object.keys(PATHS).map((path) => [path, Promise.withResolvers()]));
  const origin = { asked: {}, left: (path) => leaving[path].promise };
  const server = createServer(async (request, answer) => {
    const body = (await request.toArray()).join("");
    origin.asked[request.url] = { method: request.method, headers: request.headersDistinct, body };
    answer.on("close", () => answer.writableFinished || leaving[request.url].resolve(true));
    PATHS[request.url](answer);
  });
  const deserted = createServer();
  origin.url = await listen(server);
  origin.deserted = await listen(deserted);
  await new Promise((resolve) => deserted.close(resolve));
  return origin;
}

async function listen(server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

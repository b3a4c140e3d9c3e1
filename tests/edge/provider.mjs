/**
 * A provider behind a scripted `fetch`: an answer leaves it piece by piece, when the script says so, and it remembers
 * what was asked and whether the asker gave up.
 */
export class Provider {
  /** @param {{status: number, type: string, pieces: string[]}} answer what the next request gets */
  play(answer) {
    Object.assign(this, { answer, requests: [], released: 0, controller: null });
    this.#asked = Promise.withResolvers();
    this.#left = Promise.withResolvers();
  }

  #asked = null;
  #left = null;

  /** Stands in for `globalThis.fetch`. */
  fetch = async (request) => {
    const headers = Object.fromEntries(request.headers);
    this.requests.push({ method: request.method, url: request.url, headers, body: await request.text() });
    const body = new ReadableStream({ start: (controller) => void (this.controller = controller) });
    request.signal.addEventListener("abort", () => {
      if (this.released === this.answer.pieces.length) return; // it was over
      this.controller.error(request.signal.reason);
      this.#left.resolve(true);
    });
    this.#asked.resolve(true);
    return new Response(body, { status: this.answer.status, headers: { "content-type": this.answer.type } });
  };

  /** When the request has come. */
  asked() {
    return this.#asked.promise;
  }

  /** When the asker has given up before the end. */
  left() {
    return this.#left.promise;
  }

  /** Let the next piece go; with the last one the answer ends. */
  release() {
    this.controller.enqueue(new TextEncoder().encode(this.answer.pieces[this.released++]));
    if (this.released === this.answer.pieces.length) this.controller.close();
  }

  /** The connection is lost. */
  breakOff() {
    this.released = this.answer.pieces.length;
    this.controller.error(new TypeError("terminated"));
  }
}

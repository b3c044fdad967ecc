/**
 * Shares standard input and output between consecutive links (`listen -k`). The end of a link
 * closes neither of them.
 *
 * Input that was read for a peer that has left is lost, as with nc.
 */
import { Readable, Writable } from "node:stream";

/** A Readable over `source` that ends when `source` ends. Destroying it leaves `source` open. */
export function lendInput(source: Readable): Readable {
  const give = (): void => {
    const chunk: unknown = source.read();
    if (chunk !== null) {
      release();
      input.push(chunk);
    }
  };
  const end = (): void => {
    release();
    input.push(null);
  };
  const fail = (error: Error): void => {
    input.destroy(error);
  };
  const release = (): void => {
    source.off("readable", give);
    source.off("end", end);
    source.off("error", fail);
  };
  const input = new Readable({
    // One chunk at a time, so that only one chunk is lost when a peer leaves.
    highWaterMark: 1,
    read: () => {
      release();
      if (source.errored) {
        input.destroy(source.errored);
        return;
      }
      if (source.readableEnded || source.destroyed) {
        input.push(null);
        return;
      }
      source.on("readable", give);
      source.on("end", end);
      source.on("error", fail);
      give();
    },
    destroy: (error, done) => {
      release();
      done(error);
    },
  });
  ignoreErrors(source);
  return input;
}

/** A Writable that writes to `target`. Ending or destroying it leaves `target` open. */
export function lendOutput(target: Writable): Writable {
  const fail = (error: Error): void => {
    output.destroy(error);
  };
  const output = new Writable({
    write: (chunk: Uint8Array, _encoding, done) => {
      target.write(chunk, done);
    },
    destroy: (error, done) => {
      target.off("error", fail);
      done(error);
    },
  });
  ignoreErrors(target);
  target.on("error", fail);
  return output;
}

/** Ignores errors between two links. The next link receives an error when it reads or writes. */
function ignoreErrors(stream: Readable | Writable): void {
  if (!stream.listeners("error").includes(ignore)) stream.on("error", ignore);
}

function ignore(): void {}

/**
 * Standard input and output for one link after the other (`listen -k`): the end of a link ends neither.
 *
 * Input that was read for a peer that has left is lost, as with nc.
 */
import { Readable, Writable } from "node:stream";

/** A Readable over `source` that ends with it, and leaves it open when it is destroyed itself. */
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
    // One chunk at a time: no more than that is lost with a peer that leaves.
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
  listenAlways(source);
  return input;
}

/** A Writable that writes to `target` and leaves it open when it is ended or destroyed itself. */
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
  listenAlways(target);
  target.on("error", fail);
  return output;
}

/** Ignores errors between two links: the next link receives an error when it reads or writes. */
function listenAlways(stream: Readable | Writable): void {
  if (!stream.listeners("error").includes(ignore)) stream.on("error", ignore);
}

function ignore(): void {}

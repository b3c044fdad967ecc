import { PassThrough, Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { lendInput, lendOutput } from "../../../src/cli/terminal/shared-stdio.ts";

async function take(stream: Readable, count: number): Promise<string> {
  let text = "";
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.length >= count) break;
  }
  return text;
}

describe("a lent input", () => {
  it("gives what comes, and ends where its source ends", async () => {
    const source = new PassThrough();
    source.end("all of it");
    const chunks = await lendInput(source).toArray();
    expect(Buffer.concat(chunks as Uint8Array[]).toString()).toBe("all of it");
  });

  it("leaves the source open for the next one when it is given back", async () => {
    const source = new PassThrough();
    const first = lendInput(source);
    source.write("one");
    expect(await take(first, 3)).toBe("one");
    first.destroy();
    await finished(first).catch(() => undefined);
    expect(source.destroyed).toBe(false);
    const second = lendInput(source);
    source.write("two");
    expect(await take(second, 3)).toBe("two");
    expect(source.listenerCount("readable")).toBeLessThanOrEqual(1);
    second.destroy();
    expect(source.listenerCount("readable") + source.listenerCount("end")).toBeLessThanOrEqual(1);
  });

  it("is at its end at once when the source has ended before", async () => {
    const source = Readable.from([]);
    await source.toArray();
    expect(await lendInput(source).toArray()).toEqual([]);
  });

  it("fails as its source fails", async () => {
    const source = new PassThrough();
    const input = lendInput(source);
    const failure = finished(input).catch((error: Error) => error.message);
    input.resume();
    source.destroy(new Error("EIO"));
    expect(await failure).toBe("EIO");
  });

  it("reads no more of the source than it is asked for", async () => {
    const source = new PassThrough({ highWaterMark: 4 });
    const input = lendInput(source);
    for (let i = 0; i < 10; i++) source.write("abcd");
    input.once("readable", () => undefined);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(source.readableLength + source.writableLength).toBeGreaterThan(20);
    input.destroy();
  });
});

describe("a lent output", () => {
  it("passes bytes on with the target's backpressure, and does not end it", async () => {
    const written: string[] = [];
    const waiting: (() => void)[] = [];
    const target = new Writable({
      highWaterMark: 1,
      write: (chunk: Uint8Array, _encoding, done) => {
        written.push(String(chunk));
        waiting.push(done);
      },
    });
    const output = lendOutput(target);
    output.write("a");
    output.end("b");
    expect(written).toEqual(["a"]);
    expect(output.writableFinished).toBe(false);
    waiting.shift()!();
    await new Promise(setImmediate);
    expect(written).toEqual(["a", "b"]);
    waiting.shift()!();
    await finished(output);
    expect(target.writableEnded).toBe(false);
    expect(target.destroyed).toBe(false);
    const next = lendOutput(target);
    next.write("c");
    expect(written).toEqual(["a", "b", "c"]);
  });

  it("fails with its target, also when that fails between two links", async () => {
    const target = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const output = lendOutput(target);
    const failure = finished(output).catch((error: Error) => error.message);
    output.write("a");
    expect(await failure).toBe("EPIPE");
    const next = lendOutput(target);
    const again = finished(next).catch((error: NodeJS.ErrnoException) => error.code);
    next.write("b");
    expect(await again).toBe("ERR_STREAM_DESTROYED");
  });

  it("leaves no listeners behind, however many links there were", async () => {
    const target = new PassThrough();
    for (let i = 0; i < 30; i++) {
      const output = lendOutput(target);
      output.end();
      await finished(output);
    }
    expect(target.listenerCount("error")).toBeLessThanOrEqual(2);
  });
});

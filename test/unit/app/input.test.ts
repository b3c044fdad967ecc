import { once } from "node:events";
import {
  closeSync,
  createWriteStream,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { isRecycling, openInput, type RecyclingInput } from "../../../src/app/input.ts";
import { realPipe } from "../../lib/real-pipe.ts";

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const big = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7) % 251));

function openFile(bytes: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), "srudp-input-"));
  folders.push(folder);
  const path = join(folder, "in");
  writeFileSync(path, bytes);
  return openSync(path, "r");
}

function recycling(input: Readable): RecyclingInput {
  if (!isRecycling(input)) throw new Error("no recycling input");
  return input;
}

describe("an input", () => {
  it("reads a file to its end", async () => {
    expect((await buffer(openInput(openFile(big)))).equals(big)).toBe(true);
  });

  it("reads a pipe to its end", async () => {
    const { readEnd, writeEnd } = realPipe();
    const reading = buffer(openInput(readEnd));
    createWriteStream("", { fd: writeEnd }).end(big);
    expect((await reading).equals(big)).toBe(true);
  });

  it("gives what a pipe has at once, without waiting for more", async () => {
    const { readEnd, writeEnd } = realPipe();
    const input = openInput(readEnd);
    for (const word of ["one", "two"]) {
      writeSync(writeEnd, word);
      expect(String((await once(input, "data"))[0])).toBe(word);
    }
    closeSync(writeEnd);
    await once(input, "end");
  });

  it("has nothing where there is nothing", async () => {
    expect((await buffer(openInput(openSync("/dev/null", "r")))).length).toBe(0);
    expect((await buffer(openInput(openFile(new Uint8Array(0))))).length).toBe(0);
  });

  it("fails for what cannot be read", async () => {
    const [error] = await once(openInput(openSync("/", "r")).resume(), "error");
    expect(error).toMatchObject({ code: "EISDIR" });
  });

  it.each(["file", "pipe"] as const)(
    "reads a %s into a few buffers again and again when told what is done with",
    async (kind) => {
      const pipe = kind === "pipe" ? realPipe() : undefined;
      const input = recycling(openInput(pipe?.readEnd ?? openFile(big)));
      if (pipe !== undefined) createWriteStream("", { fd: pipe.writeEnd }).end(big);
      const memories = new Set<ArrayBufferLike>();
      const heard: Buffer[] = [];
      let bytes = 0;
      input.on("data", (chunk: Uint8Array) => {
        if (chunk.length >= 16_384) memories.add(chunk.buffer);
        heard.push(Buffer.from(chunk));
        bytes += chunk.length;
        input.recycle(bytes);
      });
      await once(input, "end");
      expect(Buffer.concat(heard).equals(big)).toBe(true);
      expect(memories.size).toBeLessThanOrEqual(3);
    },
  );

  it("never reads into what is still in use", async () => {
    const input = recycling(openInput(openFile(big)));
    const chunks: Uint8Array[] = [];
    let doneBytes = 0;
    input.on("data", (chunk: Uint8Array) => {
      chunks.push(chunk);
      // Everything but the last four chunks is done with.
      if (chunks.length > 4) doneBytes += chunks[chunks.length - 5]!.length;
      input.recycle(doneBytes);
      let at = doneBytes;
      for (const one of chunks.slice(-4)) {
        if (!big.subarray(at, at + one.length).equals(one)) input.destroy(new Error(`changed at ${at}`));
        at += one.length;
      }
    });
    await once(input, "end");
    expect(chunks.length).toBeGreaterThan(10);
  });
});

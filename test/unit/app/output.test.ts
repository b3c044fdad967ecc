import { once } from "node:events";
import { closeSync, createReadStream, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { openOutput } from "../../../src/app/output.ts";
import { realPipe } from "../../lib/real-pipe.ts";

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "srudp-output-"));
  folders.push(folder);
  return join(folder, "out");
}

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
}

const big = Buffer.alloc(3_000_000, "0123456789abcdef!");

describe("an output", () => {
  it("into a file writes everything in order, and is closed behind it", async () => {
    const path = newFile();
    const descriptor = openSync(path, "w");
    const output = openOutput(descriptor);
    for (let at = 0; at < big.length; at += 100_000) output.write(big.subarray(at, at + 100_000));
    output.end();
    await once(output, "finish");
    expect(isOpen(descriptor)).toBe(false);
    expect(readFileSync(path).equals(big)).toBe(true);
  });

  it("into a pipe writes everything in order, and its reader sees the end at once", async () => {
    const { readEnd, writeEnd } = realPipe();
    const heard = buffer(createReadStream("", { fd: readEnd }));
    const output = openOutput(writeEnd);
    output.cork();
    for (let at = 0; at < big.length; at += 70_000) output.write(big.subarray(at, at + 70_000));
    output.uncork();
    output.end();
    expect((await heard).equals(big)).toBe(true);
    expect(isOpen(writeEnd)).toBe(false);
  });

  it("into a pipe holds nobody up while its reader waits", async () => {
    const { readEnd, writeEnd } = realPipe();
    const output = openOutput(writeEnd);
    let isWritten = false;
    output.write(big, () => {
      isWritten = true;
    });
    // The event loop turns although the pipe is full.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isWritten).toBe(false);
    expect(output.writableNeedDrain).toBe(true);
    output.end();
    const heard = await buffer(createReadStream("", { fd: readEnd }));
    expect(heard.length).toBe(big.length);
    expect(isWritten).toBe(true);
  });

  it("fails with EPIPE when nobody reads its pipe any more", async () => {
    const { readEnd, writeEnd } = realPipe();
    const output = openOutput(writeEnd);
    closeSync(readEnd);
    const failed = once(output, "error");
    output.write("for nobody");
    expect((await failed)[0]).toMatchObject({ code: "EPIPE" });
  });

  it("takes an end without a byte", async () => {
    const { readEnd, writeEnd } = realPipe();
    const output = openOutput(writeEnd);
    output.end();
    expect((await buffer(createReadStream("", { fd: readEnd }))).length).toBe(0);
  });
});

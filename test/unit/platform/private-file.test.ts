/** Several writers of one private file, and drafts that were left behind or taken away. */
import {
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { changePrivateFile, createPrivateFile } from "../../../src/platform/private-file.ts";

const LONG_AGO = new Date(Date.now() - 60_000);

let folder: string;
let path: string;
let draft: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "srudp-private-"));
  path = join(folder, "peers");
  draft = `${path}.new`;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const append =
  (line: string) =>
  (text = ""): string =>
    `${text}${line}\n`;

describe("a writer whose draft another one took for abandoned", () => {
  it("leaves the other's half-written draft alone and adds its line to what the other wrote", async () => {
    let other = -1;
    const changing = changePrivateFile(path, (text) => {
      if (other < 0) {
        // The other process: it deletes the draft, makes its own, and has written half of its text.
        unlinkSync(draft);
        other = openSync(draft, "wx", 0o600);
        writeSync(other, "the other's ");
      }
      return append("own line")(text);
    });
    // It ends once this one has come round to waiting for it, or in the middle of that: both must do.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(() => readFileSync(path)).toThrow("ENOENT");
    writeSync(other, "line\n");
    renameSync(draft, path);
    await changing;
    expect(readFileSync(path, "utf8")).toBe("the other's line\nown line\n");
  });

  it("creates no file over the other's", async () => {
    const creating = createPrivateFile(path, "mine\n");
    // Whenever its draft appears, it is taken away once.
    for (let isTaken = false; !isTaken; ) {
      try {
        unlinkSync(draft);
        isTaken = true;
      } catch {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(await creating).toBe(true);
    expect(readFileSync(path, "utf8")).toBe("mine\n");
  });
});

describe("a draft that a killed process left behind", () => {
  it("holds up several writers, none of which loses its line", async () => {
    openSync(draft, "wx", 0o600);
    utimesSync(draft, LONG_AGO, LONG_AGO);
    const lines = Array.from({ length: 8 }, (_, i) => `line ${i}`);
    await Promise.all(lines.map((line) => changePrivateFile(path, append(line))));
    expect(readFileSync(path, "utf8").split("\n").filter(Boolean).sort()).toEqual(lines);
  });
});

/** Files that cannot be trusted are refused, with the remedy. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KeyStore, readIdentity } from "../../src/store/key-store.ts";
import { encodeIdentity, encodeKey } from "../../src/wire/key-text.ts";
import { failureOf, KeyFolder } from "../lib/key-folder.ts";

let keys: KeyFolder;
let home: string;
let folder: string;
let store: KeyStore;

beforeEach(() => {
  keys = new KeyFolder();
  ({ home, path: folder, store } = keys);
});
afterEach(() => keys.remove());

const plant = (name: string, text: string, mode?: number): string => keys.plant(name, text, mode);

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

describe("a file that cannot be trusted", () => {
  const text = encodeIdentity(key(5));

  it("31 · is refused with the chmod when others may read it", async () => {
    const path = plant("identity", text, 0o644);
    const error = await failureOf(store.identity());
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toContain(`chmod 600 ${path}`);
    chmodSync(path, 0o600);
    expect((await store.identity()).secretKey).toEqual(key(5));
  });

  it("31 · is refused when it is a symbolic link", async () => {
    const path = plant("elsewhere", text);
    symlinkSync(path, join(folder, "identity"));
    expect((await failureOf(store.identity())).message).toContain("symbolic link");
  });

  it("31 · is refused at once when it is a FIFO, though nobody writes to it", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(folder, "identity")]);
    expect((await failureOf(store.identity())).message).toContain("not a regular file");
  });

  it("31 · is refused when it is a folder", async () => {
    mkdirSync(join(folder, "identity"), { recursive: true, mode: 0o700 });
    expect((await failureOf(store.identity())).code).toBe("ERR_KEY_FILE");
  });

  it("31 · is refused when it belongs to another user", async () => {
    // Only root can give a file away; everybody else finds root's files.
    let path = "/etc/passwd";
    if (process.geteuid?.() === 0) {
      path = plant("foreign", text);
      execFileSync("chown", ["12345", path]);
    }
    const error = await failureOf(readIdentity(path));
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toContain("another user");
  });

  it("31 · is refused with a byte order mark, as binary, as two keys, or cut short", async () => {
    for (const wrong of [
      `\uFEFF${text}`,
      `${text}\n${text}`,
      text.slice(0, 40),
      "",
      "\u0000",
      encodeKey(key(5)),
    ]) {
      const error = await failureOf(readIdentity(plant("identity", wrong)));
      expect(error.code).toBe("ERR_KEY_FILE");
      expect(error.message).not.toContain(text.slice(8));
    }
    const binary = plant("identity", "");
    writeFileSync(binary, Uint8Array.of(0xff, 0xfe, 0x00));
    expect((await failureOf(readIdentity(binary))).message).toContain("not text");
  });

  it("31 · is refused when its folder can be written by others", async () => {
    plant("identity", text);
    chmodSync(folder, 0o777);
    expect((await failureOf(store.identity())).message).toContain(`chmod 700 ${folder}`);
  });

  it("30 · leaves nothing of its name that acts on a terminal in the message", async () => {
    const error = await failureOf(readIdentity(join(home, "a\u001b[31mred\u202e")));
    expect(error.message).not.toContain("\u001b");
    expect(error.message).not.toContain("\u202e");
  });
});

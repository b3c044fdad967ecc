import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeyStore } from "../../../src/store/key-store.ts";
import { isPeerName, SavedPeers } from "../../../src/store/saved-peers.ts";
import { encodeKey } from "../../../src/wire/key-text.ts";

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const laptop = { name: "laptop", publicKey: key(1), address: "laptop.example.org:4242" };
const desktop = { name: "desktop", publicKey: key(2), address: undefined };

let folder: string;
let peers: SavedPeers;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "srudp-peers-")), "srudp");
  peers = new SavedPeers(folder);
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));
const file = (): string => join(folder, "peers");

describe("saved peers", () => {
  it("are found by name in any case, from a file for its owner only", async () => {
    expect(await peers.list()).toEqual([]);
    await peers.add(laptop);
    await peers.add(desktop);
    expect(await peers.list()).toEqual([laptop, desktop]);
    expect(await peers.find("LapTop")).toEqual(laptop);
    expect(await peers.find("phone")).toBeUndefined();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it("never change their key, and may change their address", async () => {
    await peers.add(laptop);
    await expect(peers.add({ ...laptop, name: "Laptop", publicKey: key(3) })).rejects.toMatchObject({
      code: "ERR_NAME_TAKEN",
    });
    await peers.add({ ...laptop, address: "192.0.2.7:1" });
    expect(await peers.list()).toEqual([{ ...laptop, address: "192.0.2.7:1" }]);
  });

  it("keep what a person wrote between them", async () => {
    await peers.add(laptop);
    writeFileSync(file(), `# mine\n\n${readFileSync(file(), "utf8")}`);
    await peers.add(desktop);
    expect(readFileSync(file(), "utf8")).toMatch(
      /^# mine\n\nlaptop srudp1\w+ laptop.example.org:4242\ndesktop /,
    );
  });

  it("are refused as a whole when a line cannot be read or others can read the file", async () => {
    await peers.add(laptop);
    const good = readFileSync(file(), "utf8");
    for (const line of [
      "phone",
      "phone srudp1qqqq",
      `42 ${encodeKey(key(4))}`,
      `a ${encodeKey(key(4))} b c`,
      `a ${encodeKey(key(4))} nowhere`,
      `Laptop ${encodeKey(key(4))}`,
    ]) {
      writeFileSync(file(), `${good}${line}\n`);
      await expect(peers.list(), line).rejects.toMatchObject({ code: "ERR_KEY_FILE" });
      await expect(peers.add(desktop), line).rejects.toMatchObject({ code: "ERR_KEY_FILE" });
    }
    writeFileSync(file(), good);
    chmodSync(file(), 0o644);
    await expect(peers.find("laptop")).rejects.toThrow(/chmod 600/);
  });

  it("have names that can be nothing else", () => {
    for (const name of ["laptop", "a", "my-laptop.2", "Büro"]) expect(isPeerName(name)).toBe(name !== "Büro");
    for (const name of [
      "",
      "4242",
      "42-ocean-lizard-maple",
      "host:1",
      "[::1]",
      "srudp1abc",
      "srudpt1a",
      "-x",
    ]) {
      expect(isPeerName(name), name).toBe(false);
    }
  });
});

describe("forgetting a key", () => {
  it("takes it out of every list, and leaves the others", async () => {
    const store = new KeyStore(folder);
    await peers.add(laptop);
    await peers.add(desktop);
    await store.addKnownPeer("host:1", key(1));
    await store.addKnownPeer("host:2", key(2));
    await store.addAuthorizedPeer(key(1), "some name");
    await store.addAuthorizedPeer(key(3), "another");
    expect(await store.forget(key(1))).toBe(3);
    expect(await peers.list()).toEqual([desktop]);
    expect(await store.knownPeers()).toEqual([{ remote: "host:2", publicKey: key(2) }]);
    expect(await store.authorizedPeers()).toMatchObject([{ publicKey: key(3), name: "another" }]);
    expect(await store.forget(key(1))).toBe(0);
  });
});

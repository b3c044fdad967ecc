import { readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  configurationFolder,
  createIdentity,
  Identity,
  KeyStore,
  readIdentity,
} from "../../../src/store/key-store.ts";
import { encodeIdentity, encodeKey } from "../../../src/wire/key-text.ts";
import { failureOf, KeyFolder } from "../../lib/key-folder.ts";

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

describe("the identity", () => {
  it("is made at first need, in a file for the owner alone, and is the same ever after", async () => {
    const identity = await store.identity();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(store.identityPath).mode & 0o777).toBe(0o600);
    expect((await store.identity()).publicKey).toEqual(identity.publicKey);
    expect((await new KeyStore(folder).identity()).secretKey).toEqual(identity.secretKey);
  });

  it("stays for the owner alone under a careless umask", async () => {
    const before = process.umask(0);
    try {
      await store.identity();
    } finally {
      process.umask(before);
    }
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(store.identityPath).mode & 0o777).toBe(0o600);
  });

  it("is one and the same when several ask for it at once", async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => new KeyStore(folder).identity()));
    for (const identity of all) expect(identity.publicKey).toEqual(all[0]!.publicKey);
  });

  it("is never overwritten", async () => {
    const first = await store.createIdentity();
    expect(first).toBeInstanceOf(Identity);
    expect(await store.createIdentity()).toBeUndefined();
    expect((await store.identity()).publicKey).toEqual(first!.publicKey);
  });

  it("does not print its secret half", async () => {
    const identity = await store.identity();
    const secret = encodeIdentity(identity.secretKey);
    expect(readFileSync(store.identityPath, "utf8")).toContain(secret);
    const printed = [
      inspect(identity, { depth: 9, showHidden: true }),
      String(identity),
      JSON.stringify({ identity }),
    ];
    for (const text of printed) {
      expect(text).toContain(encodeKey(identity.publicKey));
      expect(text).not.toContain(secret);
      expect(text).not.toContain(identity.secretKey.slice(0, 4).join(", "));
    }
  });

  it("can lie in a file of the user's choice, which must exist", async () => {
    const path = join(home, "other");
    const missing = await failureOf(readIdentity(path));
    expect(missing.code).toBe("ERR_FILE_UNREADABLE");
    const identity = await createIdentity(path);
    expect((await readIdentity(path)).publicKey).toEqual(identity!.publicKey);
  });
});

describe("known peers", () => {
  it("are remembered by host and port", async () => {
    expect(await store.knownPeer("a.example.org:4242")).toBeUndefined();
    await store.addKnownPeer("a.example.org:4242", key(1));
    await store.addKnownPeer("[::1]:4242", key(2));
    expect(await store.knownPeer("a.example.org:4242")).toEqual(key(1));
    expect(await store.knownPeer("[::1]:4242")).toEqual(key(2));
    expect(await store.knownPeer("a.example.org:4243")).toBeUndefined();
    expect(statSync(join(folder, "known_peers")).mode & 0o777).toBe(0o600);
  });

  it("are not lost when several are added at once", async () => {
    await Promise.all(
      Array.from({ length: 6 }, (_, i) => new KeyStore(folder).addKnownPeer(`host${i}:1`, key(i))),
    );
    for (let i = 0; i < 6; i++) expect(await store.knownPeer(`host${i}:1`)).toEqual(key(i));
  });

  it("are added also after a writer died in the middle", async () => {
    plant("known_peers", `# mine\n\nhost:1 ${encodeKey(key(1))}`);
    const draft = plant("known_peers.new", "half");
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(draft, longAgo, longAgo);
    await store.addKnownPeer("host:2", key(2));
    expect(await store.knownPeer("host:1")).toEqual(key(1));
    expect(await store.knownPeer("host:2")).toEqual(key(2));
  });

  it("refuse a file that has two keys for an address", async () => {
    plant("known_peers", `host:1 ${encodeKey(key(1))}\nhost:1 ${encodeKey(key(1))}\n`);
    expect(await store.knownPeer("host:1")).toEqual(key(1));
    plant("known_peers", `host:1 ${encodeKey(key(1))}\nhost:1 ${encodeKey(key(2))}\n`);
    expect((await failureOf(store.knownPeer("host:1"))).message).toContain("Line 2");
  });

  it.each([
    "host:1",
    "host:1 srudp1qqq",
    // Addresses that would never be asked for again.
    `host ${encodeKey(key(1))}`,
    `Host:1 ${encodeKey(key(1))}`,
    `::1:4242 ${encodeKey(key(1))}`,
    `host:port ${encodeKey(key(1))}`,
    `host:1 ${encodeKey(key(1))} more`,
    `\uFEFFhost:1 ${encodeKey(key(1))}`,
  ])("refuse a file with the line %j as a whole", async (line) => {
    plant("known_peers", `other:1 ${encodeKey(key(9))}\n${line}\n`);
    const error = await failureOf(store.knownPeer("nobody:1"));
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toMatch(/Line 2|byte order mark/);
  });
});

describe("authorized peers", () => {
  it("are none without a file, and keys with names in it", async () => {
    expect(await store.authorizedPeers()).toEqual([]);
    const line = `${encodeKey(key(5))} expose=localhost:22 permit-listen=0 expose=*:443 bench my desk`;
    plant(
      "authorized_peers",
      `# who may come\n${encodeKey(key(3))} my laptop\n${encodeKey(key(4))}\n${line}\n`,
    );
    const all = { expose: [], permitListen: [], bench: false };
    expect(await store.authorizedPeers()).toEqual([
      { publicKey: key(3), name: "my laptop", line: 2, ...all },
      { publicKey: key(4), name: "", line: 3, ...all },
      {
        publicKey: key(5),
        name: "my desk",
        expose: ["localhost:22", "*:443"],
        permitListen: ["0"],
        bench: true,
        line: 4,
      },
    ]);
    await store.addAuthorizedPeer(key(6), "new\none");
    expect((await store.authorizedPeers())[3]).toEqual({
      publicKey: key(6),
      name: "new one",
      line: 5,
      ...all,
    });
    const misnamed = await failureOf(store.addAuthorizedPeer(key(7), "expose=all"));
    expect(misnamed.code).toBe("ERR_USAGE");
  });

  it.each([
    "expsoe=127.0.0.1:7102 laptop",
    "Expose=127.0.0.1:7102 laptop",
    "permit_listen=8080 laptop",
    "expose =127.0.0.1:7102 laptop",
    "expose 127.0.0.1:7102 laptop",
    "laptop expose=127.0.0.1:7102",
    "my laptop permit-listen=0",
    "Bench laptop",
    "laptop bench",
    "bench=yes laptop",
    "restrict=",
  ])("refuse a file in which %j may be meant to restrict a peer", async (words) => {
    plant("authorized_peers", `# who may come\n${encodeKey(key(3))} ${words}\n`);
    const error = await failureOf(store.authorizedPeers());
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toContain(`Line 2 of ${join(folder, "authorized_peers")} `);
  });

  it("refuse a file with two lines for one key, where one of them has options", async () => {
    const [a, b] = [encodeKey(key(3)), encodeKey(key(4))];
    plant("authorized_peers", `${a} desk\n${b}\n${a} the same desk\n`);
    expect(await store.authorizedPeers()).toHaveLength(3);
    for (const [first, second] of [
      ["", "bench"],
      ["expose=a:1", ""],
      ["expose=a:1", "expose=b:1"],
    ]) {
      plant("authorized_peers", `${a} ${first}\n${b}\n${a} ${second}\n`);
      const error = await failureOf(store.authorizedPeers());
      expect(error.code).toBe("ERR_KEY_FILE");
      expect(error.message).toMatch(/Line 3 .* line 1/);
    }
  });

  it("let nobody in through a file that others may write to", async () => {
    plant("authorized_peers", encodeKey(key(3)), 0o620);
    expect((await failureOf(store.authorizedPeers())).code).toBe("ERR_KEY_FILE");
  });
});

describe("the configuration folder", () => {
  it("is under XDG_CONFIG_HOME when that is absolute", () => {
    expect(configurationFolder({ XDG_CONFIG_HOME: "/x/y" })).toBe("/x/y/srudp");
    expect(configurationFolder({ XDG_CONFIG_HOME: "x" })).toMatch(/\/\.config\/srudp$/);
    expect(configurationFolder({})).toMatch(/\/\.config\/srudp$/);
  });
});

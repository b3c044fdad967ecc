import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import {
  configurationFolder,
  createIdentity,
  Identity,
  KeyStore,
  readIdentity,
} from "../../../src/net/key-store.ts";
import { encodeIdentity, encodeKey } from "../../../src/wire/key-text.ts";

let home: string;
let folder: string;
let store: KeyStore;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "srudp-keys-"));
  folder = join(home, "config", "srudp");
  store = new KeyStore(folder);
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

async function failure(action: Promise<unknown>): Promise<SrudpError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SrudpError);
  return error as SrudpError;
}

function plant(name: string, text: string, mode = 0o600): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}

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
    const missing = await failure(readIdentity(path));
    expect(missing.code).toBe("ERR_FILE_UNREADABLE");
    const identity = await createIdentity(path);
    expect((await readIdentity(path)).publicKey).toEqual(identity!.publicKey);
  });
});

describe("a file that cannot be trusted", () => {
  const text = encodeIdentity(key(5));

  it("is refused with the chmod when others may read it", async () => {
    const path = plant("identity", text, 0o644);
    const error = await failure(store.identity());
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.exit).toBe(78);
    expect(error.message).toContain(`chmod 600 ${path}`);
    chmodSync(path, 0o600);
    expect((await store.identity()).secretKey).toEqual(key(5));
  });

  it("is refused when it is a symbolic link", async () => {
    const path = plant("elsewhere", text);
    symlinkSync(path, join(folder, "identity"));
    expect((await failure(store.identity())).message).toContain("symbolic link");
  });

  it("is refused at once when it is a FIFO, though nobody writes to it", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(folder, "identity")]);
    expect((await failure(store.identity())).message).toContain("not a regular file");
  });

  it("is refused when it is a folder", async () => {
    mkdirSync(join(folder, "identity"), { recursive: true, mode: 0o700 });
    expect((await failure(store.identity())).code).toBe("ERR_KEY_FILE");
  });

  it("is refused when it belongs to another user", async () => {
    // Only root can give a file away; everybody else finds root's files.
    let path = "/etc/passwd";
    if (process.geteuid?.() === 0) {
      path = plant("foreign", text);
      execFileSync("chown", ["12345", path]);
    }
    const error = await failure(readIdentity(path));
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toContain("another user");
  });

  it("is refused with a byte order mark, as binary, as two keys, or cut short", async () => {
    for (const wrong of [
      `\uFEFF${text}`,
      `${text}\n${text}`,
      text.slice(0, 40),
      "",
      "\u0000",
      encodeKey(key(5)),
    ]) {
      const error = await failure(readIdentity(plant("identity", wrong)));
      expect(error.code).toBe("ERR_KEY_FILE");
      expect(error.message).not.toContain(text.slice(8));
    }
    const binary = plant("identity", "");
    writeFileSync(binary, Uint8Array.of(0xff, 0xfe, 0x00));
    expect((await failure(readIdentity(binary))).message).toContain("not text");
  });

  it("is refused when its folder can be written by others", async () => {
    plant("identity", text);
    chmodSync(folder, 0o777);
    expect((await failure(store.identity())).message).toContain(`chmod 700 ${folder}`);
  });

  it("leaves nothing of its name that acts on a terminal in the message", async () => {
    const error = await failure(readIdentity(join(home, "a\u001b[31mred\u202e")));
    expect(error.message).not.toContain("\u001b");
    expect(error.message).not.toContain("\u202e");
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

  it.each([
    "host:1",
    "host:1 srudp1qqq",
    `host:1 ${encodeKey(key(1))} more`,
    `\uFEFFhost:1 ${encodeKey(key(1))}`,
  ])("refuse a file with the line %j as a whole", async (line) => {
    plant("known_peers", `other:1 ${encodeKey(key(9))}\n${line}\n`);
    const error = await failure(store.knownPeer("nobody:1"));
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toMatch(/Line 2|byte order mark/);
  });
});

describe("authorized peers", () => {
  it("are none without a file, and keys with names in it", async () => {
    expect(await store.authorizedPeers()).toEqual([]);
    plant("authorized_peers", `# who may come\n${encodeKey(key(3))} my laptop\r\n\n${encodeKey(key(4))}\n`);
    expect(await store.authorizedPeers()).toEqual([
      { publicKey: key(3), name: "my laptop" },
      { publicKey: key(4), name: "" },
    ]);
    await store.addAuthorizedPeer(key(5), "new\none");
    expect((await store.authorizedPeers())[2]).toEqual({ publicKey: key(5), name: "new one" });
  });

  it("let nobody in through a file that others may write to", async () => {
    plant("authorized_peers", encodeKey(key(3)), 0o620);
    expect((await failure(store.authorizedPeers())).code).toBe("ERR_KEY_FILE");
  });
});

describe("the configuration folder", () => {
  it("is under XDG_CONFIG_HOME when that is absolute", () => {
    expect(configurationFolder({ XDG_CONFIG_HOME: "/x/y" })).toBe("/x/y/srudp");
    expect(configurationFolder({ XDG_CONFIG_HOME: "x" })).toMatch(/\/\.config\/srudp$/);
    expect(configurationFolder({})).toMatch(/\/\.config\/srudp$/);
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import type { CommandContext } from "../../../src/cli/context.ts";
import { exitStatusOf } from "../../../src/cli/exit.ts";
import { FaultReports } from "../../../src/cli/faults.ts";
import type { LinkOptions } from "../../../src/cli/options/common-options.ts";
import { trustForConnector } from "../../../src/cli/options/connector-trust.ts";
import { trustForListener } from "../../../src/cli/options/listener-trust.ts";
import { Reporter } from "../../../src/cli/terminal/reporter.ts";
import { createIdentity, KeyStore } from "../../../src/store/key-store.ts";
import { parseCode } from "../../../src/wire/code.ts";
import { encodeKey, encodeSecret } from "../../../src/wire/key-text.ts";

const CODE = "17-velvet-zebra-olive";
const REMOTE = "host.example.org:4242";
const FROM = { address: "192.0.2.7", port: 4242, family: 4 as const };
const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

let home: string;
let store: KeyStore;
let said: string;
let context: CommandContext;
let abort: AbortController;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "srudp-trust-"));
  store = new KeyStore(join(home, "srudp"));
  said = "";
  const stream = {
    write: (text: string) => {
      said += text;
    },
  };
  abort = new AbortController();
  const reporter = new Reporter(stream, { json: true, quiet: false, verbosity: 0 });
  context = {
    reporter,
    faults: new FaultReports(reporter),
    interrupt: { signal: abort.signal, release: () => undefined },
    environment: { XDG_CONFIG_HOME: home },
    version: "0",
    program: undefined,
  };
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function plant(name: string, text: string): string {
  const path = join(home, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

const asConnector = (options: LinkOptions) => trustForConnector(context, options, REMOTE, () => undefined);
const asListener = (options: LinkOptions) => trustForListener(context, options);

describe("a connector", () => {
  it("takes the secret before the code, the code before the passphrase, and that before keys", async () => {
    const all = {
      secretFile: plant("s", encodeSecret(key(1))),
      codeFile: plant("c", CODE),
      passphraseFile: plant("p", "correct horse battery"),
      acceptNew: true as const,
    };
    expect(await asConnector(all)).toMatchObject({ auth: "secret", options: { secret: key(1) } });
    const { secretFile: _, ...noSecret } = all;
    expect(await asConnector(noSecret)).toMatchObject({ auth: "code", options: { code: CODE } });
    const { codeFile: __, ...noCode } = noSecret;
    expect(await asConnector(noCode)).toMatchObject({
      auth: "passphrase",
      options: { passphrase: "correct horse battery" },
    });
    expect(await asConnector({ acceptNew: true })).toMatchObject({ auth: "key" });
  });

  it("uses one thing only, and a throw-away identity unless keys matter", async () => {
    const trust = await asConnector({
      codeFile: plant("c", CODE),
      passphraseFile: plant("p", "correct horse battery"),
    });
    expect(trust.options).toEqual({ code: CODE });
  });

  it("takes the code out of the environment even where it is not used", async () => {
    context.environment.SRUDP_CODE = CODE;
    expect(await asConnector({})).toMatchObject({ auth: "code", options: { code: CODE } });
    expect(context.environment.SRUDP_CODE).toBeUndefined();
    context.environment.SRUDP_CODE = CODE;
    const other = "18-velvet-zebra-olive";
    expect(await asConnector({ codeFile: plant("c", other) })).toMatchObject({ options: { code: other } });
    expect(context.environment.SRUDP_CODE).toBeUndefined();
  });

  it("pins the key of --peer in every mode, and then shows its own", async () => {
    const identity = await store.identity();
    const peer = [encodeKey(key(2))];
    const byKey = await asConnector({ peer });
    expect(byKey.auth).toBe("key");
    expect(byKey.options.peer).toEqual([key(2)]);
    expect(byKey.options.identity?.publicKey).toEqual(identity.publicKey);
    const byCode = await asConnector({ peer, codeFile: plant("c", CODE) });
    expect(byCode).toMatchObject({ auth: "code", options: { code: CODE, peer: [key(2)] } });
    await expect(asConnector({ peer: ["srudp1qqq"] })).rejects.toMatchObject({ code: "ERR_KEY_FORMAT" });
  });

  it("knows saved peers by name, and no others", async () => {
    await store.savedPeers.add({ name: "laptop", publicKey: key(2), address: undefined });
    const byName = await asConnector({ peer: ["Laptop"] });
    expect(byName).toMatchObject({ auth: "key", options: { peer: [key(2)] } });
    await expect(asConnector({ peer: ["desktop"] })).rejects.toMatchObject({
      code: "ERR_NAME_UNKNOWN",
    });
  });

  it("that saves its peer shows its lasting key, and gives no name away twice", async () => {
    const identity = await store.identity();
    const trust = await asConnector({ save: "laptop", codeFile: plant("c", CODE) });
    expect(trust.auth).toBe("code");
    expect(trust.options.identity?.publicKey).toEqual(identity.publicKey);
    await store.savedPeers.add({ name: "laptop", publicKey: key(2), address: undefined });
    for (const name of ["laptop", "LAPTOP"]) {
      await expect(asConnector({ save: name })).rejects.toMatchObject({ code: "ERR_NAME_TAKEN" });
      await expect(asListener({ save: name })).rejects.toMatchObject({ code: "ERR_NAME_TAKEN" });
    }
    for (const name of ["", "7", "42-ocean-lizard-maple", "-k", "a b", "srudp1xyz", "a:1", "n".repeat(64)]) {
      await expect(asConnector({ save: name })).rejects.toMatchObject({ code: "ERR_USAGE" });
    }
  });

  it("uses the identity that it is told to use", async () => {
    const path = join(home, "own");
    const identity = await createIdentity(path);
    const trust = await asConnector({ identity: path });
    expect(trust.auth).toBe("key");
    expect(trust.options.identity?.publicKey).toEqual(identity!.publicKey);
  });

  it("tells both causes of the silence that a wrong secret meets", async () => {
    const trust = await asConnector({ secretFile: plant("s", encodeSecret(key(1))) });
    expect(trust.explain(new SrudpError("ERR_TIMEOUT")).message).toMatch(/not there, or its secret/);
    const other = new SrudpError("ERR_BUSY");
    expect(trust.explain(other)).toBe(other);
  });
});

describe("trust on first use", () => {
  it("with --accept-new remembers a stranger and knows it again", async () => {
    const first = await asConnector({ acceptNew: true });
    expect(await first.options.verifyPeer!(key(3), FROM)).toBe(true);
    expect(await store.knownPeer(REMOTE)).toBeUndefined();
    await first.remember();
    expect(await store.knownPeer(REMOTE)).toEqual(key(3));
    expect(said).toContain('"event":"remembered"');
    const again = await asConnector({});
    expect(again.auth).toBe("key");
    expect(await again.options.verifyPeer!(key(3), FROM)).toBe(true);
    await again.remember();
    expect(
      readFileSync(join(home, "srudp", "known_peers"), "utf8")
        .trim()
        .split("\n"),
    ).toHaveLength(1);
  });

  it("never accepts a changed key, whatever is asked for", async () => {
    await store.addKnownPeer(REMOTE, key(3));
    const trust = await asConnector({ acceptNew: true });
    const error = (await Promise.resolve(trust.options.verifyPeer!(key(4), FROM)).catch(
      (reason) => reason,
    )) as SrudpError;
    expect(error.code).toBe("ERR_PEER_KEY");
    expect(exitStatusOf(error)).toBe(77);
    expect(error.message).toContain(encodeKey(key(3)));
    expect(error.message).toContain(encodeKey(key(4)));
    await trust.remember();
    expect(await store.knownPeer(REMOTE)).toEqual(key(3));
  });

  it("gives way to a pin", async () => {
    await store.addKnownPeer(REMOTE, key(3));
    const trust = await asConnector({ peer: [encodeKey(key(4))] });
    expect(trust.options).toMatchObject({ peer: [key(4)] });
    expect(trust.options.verifyPeer).toBeUndefined();
  });
});

describe("a listener", () => {
  it("makes a code where nothing else lets a peer in", async () => {
    const trust = await asListener({});
    expect(trust.auths).toEqual(["code"]);
    expect(trust.code?.given).toBe(false);
    const code = trust.code!.text.reveal();
    expect(parseCode(code)).toBe(code);
    expect(trust.options).toEqual({ code });
    expect((await asListener({})).code!.text.reveal()).not.toBe(code);
  });

  it("accepts everything that it was given, and makes no code then", async () => {
    const trust = await asListener({
      secretFile: plant("s", encodeSecret(key(1))),
      passphraseFile: plant("p", "correct horse battery"),
      codeFile: plant("c", CODE),
      allow: [encodeKey(key(5))],
    });
    expect(trust.auths).toEqual(["secret", "passphrase", "key", "code"]);
    expect(trust.code?.given).toBe(true);
    expect(trust.options).toMatchObject({ secret: key(1), passphrase: "correct horse battery", code: CODE });
    for (const one of [
      { secretFile: plant("s", encodeSecret(key(1))) },
      { allow: [encodeKey(key(5))] },
      { acceptNew: true as const },
    ]) {
      expect((await asListener(one)).code).toBeUndefined();
    }
  });

  it("lets in the keys of --allow and of authorized_peers, and no others", async () => {
    await store.addAuthorizedPeer(key(6), "laptop");
    const { options, auths } = await asListener({ allow: [encodeKey(key(5))] });
    expect(auths).toEqual(["key"]);
    expect(await options.verifyPeer!(key(5), FROM)).toBe(true);
    expect(await options.verifyPeer!(key(6), FROM)).toBe(true);
    expect(await options.verifyPeer!(key(7), FROM)).toBe(false);
    expect((await asListener({})).auths).toEqual(["key"]);
  });

  it("lets paired peers in wherever it makes a code, and is silent to those who do not know its key", async () => {
    await store.savedPeers.add({ name: "laptop", publicKey: key(2), address: undefined });
    const plain = await asListener({});
    expect(plain.auths).toEqual(["code"]);
    expect(plain.isSilent).toBe(true);
    expect(await plain.options.verifyPeer!(key(2), FROM)).toBe(true);
    expect(await plain.options.verifyPeer!(key(3), FROM)).toBe(false);
    const bySecret = await asListener({ secretFile: plant("s", encodeSecret(key(1))) });
    expect(bySecret.options.verifyPeer).toBeUndefined();
    const named = await asListener({ allow: ["laptop"] });
    expect([named.auths, named.code, named.isSilent]).toEqual([["key"], undefined, true]);
    // A key that was only told to this side need not know this side's.
    const mixed = await asListener({ allow: ["laptop", encodeKey(key(5))] });
    expect(mixed.isSilent).toBe(false);
    expect((await asListener({ allow: [encodeKey(key(5))], silent: true })).isSilent).toBe(true);
    expect((await asListener({ acceptNew: true })).isSilent).toBe(false);
  });

  it("with --accept-new lets in the first key that comes, once and for all", async () => {
    const trust = await asListener({ acceptNew: true });
    expect(await trust.options.verifyPeer!(key(8), FROM)).toBe(true);
    expect(await trust.options.verifyPeer!(key(9), FROM)).toBe(false);
    expect(await trust.options.verifyPeer!(key(8), FROM)).toBe(true);
    await trust.remember(key(8));
    const later = await asListener({ acceptNew: true });
    expect(await later.options.verifyPeer!(key(9), FROM)).toBe(false);
    expect(await later.options.verifyPeer!(key(8), FROM)).toBe(true);
  });

  it("refuses a malformed key before any network", async () => {
    await expect(asListener({ allow: ["srudp1qqq"] })).rejects.toMatchObject({ code: "ERR_KEY_FORMAT" });
  });
});

/** Who has no business at a listener hears nothing, and a peer reaches through a link only what is exposed. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { Permissions } from "../../src/app/forward/permissions/permissions.ts";
import { gateKey } from "../../src/crypto/first-message-mac.ts";
import type { TrustOptions } from "../../src/index.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { forgedFirst } from "../lib/first-message.ts";
import { CODE, connecting, LOOPBACK, listening, SECRET } from "../unit/link/loopback.ts";

const identity = ((): { secretKey: Uint8Array; publicKey: Uint8Array } => {
  const secretKey = new Uint8Array(32).fill(7);
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
})();

/** Datagrams that come back for `messages`, once a genuine peer has been through the same door after them. */
async function answersTo(
  trust: TrustOptions & { readonly silent?: boolean },
  peer: TrustOptions,
  messages: readonly Uint8Array[],
): Promise<number> {
  const listener = await listening(trust);
  const stranger = createSocket("udp4");
  stranger.bind(0, LOOPBACK);
  await once(stranger, "listening");
  let answers = 0;
  stranger.on("message", () => answers++);
  for (const message of messages) stranger.send(message, listener.port, LOOPBACK);
  await connecting(listener.port, peer);
  stranger.close();
  return answers;
}

describe("a listener", () => {
  it("9 · that has a code only answers no first message of Noise", async () => {
    const messages = [
      forgedFirst({ mode: "key" }),
      forgedFirst({ mode: "key", gate: gateKey("key", identity.publicKey) }),
      forgedFirst({ mode: "secret" }),
      forgedFirst({ mode: "secret", gate: gateKey("secret", SECRET) }),
      forgedFirst({ mode: "ticket" }),
      forgedFirst({ mode: "passphrase" }).fill(0xd2, 0, 1),
    ];
    expect(await answersTo({ code: CODE, identity }, { code: CODE }, messages)).toBe(0);
  });

  it("is not there for whoever has no secret, in whatever words or version", async () => {
    const messages = [
      ...(["key", "secret", "ticket", "code", "passphrase"] as const).flatMap((mode) => [
        forgedFirst({ mode }),
        forgedFirst({ mode, versions: { lowest: 9, highest: 9 } }),
      ]),
      new Uint8Array(1200).fill(0xd2),
      new Uint8Array(28).fill(0xe0),
    ];
    expect(await answersTo({ secret: SECRET, identity }, { secret: SECRET }, messages)).toBe(0);
  });

  it("is not there for whoever does not know its key, where it is silent, and is where it is not", async () => {
    const verifyPeer = (): boolean => true;
    const messages = [forgedFirst({ mode: "key" }), forgedFirst({ mode: "code" })];
    const peer = { peer: [identity.publicKey] };
    expect(await answersTo({ identity, verifyPeer, silent: true }, peer, messages)).toBe(0);
    expect(await answersTo({ identity, verifyPeer }, peer, messages)).toBe(2);
  });
});

describe("a forward", () => {
  it("29 · to what is not exposed is refused, in any spelling", async () => {
    const permissions = new Permissions(["localhost:80", "*:443", "10.0.0.0/8:22"]);
    const asked = (host: string, port: number) => permissions.dialFor({ kind: "tcp", host, port });
    expect(await asked("localhost", 80)).toEqual({ kind: "tcp", host: "localhost", port: 80 });
    // What the exposed name means, by other words; and what a pattern never covers without naming it.
    const spellings = [
      ...[
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "localhost.",
      ],
      ...["[::ffff:7f00:1]", "::ffff:7f00:1", "0.0.0.0", "::", "localhost.localdomain", "ip6-localhost"],
    ];
    for (const host of spellings) {
      for (const port of [80, 443]) {
        await expect(asked(host, port), `${host}:${port}`).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_TARGET_/),
        });
      }
    }
    for (const host of [
      "169.254.169.254",
      "192.168.1.1",
      "10.1.2.3",
      "::ffff:10.1.2.3",
      "fe80::1",
      "fd00::1",
    ]) {
      await expect(asked(host, 443), host).rejects.toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
    }
    expect(await asked("10.1.2.3", 22)).toMatchObject({ host: "10.1.2.3" });
    await expect(asked("10.1.2.3", 23)).rejects.toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
    await expect(asked("11.1.2.3", 22)).rejects.toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
  });
});

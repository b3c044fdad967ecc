import { createSocket } from "node:dgram";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it, vi } from "vitest";
import { toHex, utf8Encode } from "../../../src/base/bytes.ts";
import { connect, type Link, listen } from "../../../src/index.ts";
import type { DatagramOrigin } from "../../../src/link/endpoint.ts";
import { guessSourceOf, peerAddressOf } from "../../../src/link/trust.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import type { DatagramSocket } from "../../../src/platform/udp/datagram-socket.ts";
import { RELAY_ADDRESS } from "../../../src/traversal/relay/relay-socket.ts";
import { forgedFirst } from "../../lib/first-message.ts";
import { guess } from "../../lib/guesser.ts";
import { CODE, connecting, failureOf, LOOPBACK, listening, SECRET } from "../link/loopback.ts";

const WRONG = "43-ocean-lizard-maple";
const PASSPHRASE = "a passphrase long enough";

function keyPair(): { secretKey: Uint8Array; publicKey: Uint8Array } {
  const secretKey = crypto.getRandomValues(new Uint8Array(32));
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
}

describe("a listener", () => {
  it("has the same port in both families", async () => {
    const listener = await listen({ secret: SECRET });
    expect(new Set(listener.addresses.map(({ port }) => port)).size).toBe(1);
    expect(listener.addresses.map(({ family }) => family)).toEqual([4, 6]);
    await listener.close();
  });

  it("is an iterable of links that ends when it is closed", async () => {
    const listener = await listening({ secret: SECRET, maxLinks: 2 });
    const served = (async () => {
      const heard: string[] = [];
      for await (const link of listener) {
        link.end();
        heard.push(await text(link));
        if (heard.length === 2) await listener.close();
      }
      return heard;
    })();
    for (const word of ["first", "second"]) {
      const link = await connecting(listener.port, { secret: SECRET });
      link.end(word);
      link.resume();
      await once(link, "close");
    }
    expect(await served).toEqual(["first", "second"]);
  });

  it("keeps its links when it is closed", async () => {
    const listener = await listening({ secret: SECRET });
    const arriving = once(listener, "link");
    const near = await connecting(listener.port, { secret: SECRET });
    const [far] = (await arriving) as [Link];
    await listener.close();
    near.end("after the door was shut");
    far.end();
    near.resume();
    expect(await text(far)).toBe("after the door was shut");
  });

  it("frees its port when it is closed", async () => {
    const listener = await listen({ localAddress: LOOPBACK, secret: SECRET });
    const { port } = listener;
    await listener.close();
    const next = await listen({ localAddress: LOOPBACK, secret: SECRET, port });
    await next.close();
  });

  it("emits ERR_TIMEOUT when no peer connects in time", async () => {
    const listener = await listening({ secret: SECRET, timeoutMs: 30 });
    expect(await failureOf(listener)).toMatchObject({ code: "ERR_TIMEOUT" });
  });

  it("closes when its signal is aborted", async () => {
    const abort = new AbortController();
    const listener = await listening({ secret: SECRET, signal: abort.signal });
    const links = listener[Symbol.asyncIterator]();
    abort.abort();
    expect((await links.next()).done).toBe(true);
  });

  it("rejects with ERR_BIND for a port in use", async () => {
    const listener = await listening({ secret: SECRET });
    const second = listen({ localAddress: LOOPBACK, secret: SECRET, port: listener.port });
    await expect(second).rejects.toMatchObject({ code: "ERR_BIND" });
  });

  it("rejects options without any credential", async () => {
    await expect(listen({})).rejects.toMatchObject({ code: "ERR_USAGE" });
  });
});

describe("a code", () => {
  it("links once", async () => {
    const listener = await listening({ code: CODE, maxLinks: 2 });
    await connecting(listener.port, { code: CODE });
    await expect(connecting(listener.port, { code: CODE })).rejects.toMatchObject({ code: "ERR_WRONG_CODE" });
  });

  it("is void after the third wrong guess from any peer, and a new code starts with no guesses", async () => {
    const listener = await listening({ code: CODE });
    const guesses: number[] = [];
    let burnt = 0;
    listener.on("guess", ({ failures }) => guesses.push(failures));
    listener.on("burnt", () => burnt++);
    const wrong = (): Promise<void> =>
      expect(connecting(listener.port, { code: WRONG })).rejects.toMatchObject({ code: "ERR_WRONG_CODE" });
    // All at the same time: a fourth is not looked at.
    await Promise.all([wrong(), wrong(), wrong(), wrong()]);
    expect(guesses).toEqual([1, 2, 3]);
    expect(burnt).toBe(1);
    await expect(connecting(listener.port, { code: CODE })).rejects.toMatchObject({ code: "ERR_WRONG_CODE" });
    listener.setCode(WRONG);
    // Who has guessed three times is refused for a while; others are not.
    const again = connecting(listener.port, { code: WRONG });
    await expect(again).rejects.toMatchObject({ code: "ERR_BUSY" });
    const link = await connecting(listener.port, { code: WRONG, localAddress: "127.0.0.2" });
    expect(link.auth).toBe("code");
    expect(guesses).toEqual([1, 2, 3]);
  });

  it("counts a guess that follows another packet in its datagram", async () => {
    const listener = await listening({ code: CODE });
    let burnt = 0;
    listener.on("burnt", () => burnt++);
    const wrong = { code: utf8Encode(WRONG) };
    for (let n = 1; n <= 4; n++)
      expect(await guess(listener.port, `127.0.0.${n}`, wrong, { isHidden: true })).toBe("refused");
    expect(burnt).toBe(1);
  });

  it("is still valid after two wrong guesses", async () => {
    const listener = await listening({ code: CODE });
    for (let i = 0; i < 2; i++) await expect(connecting(listener.port, { code: WRONG })).rejects.toThrow();
    expect((await connecting(listener.port, { code: CODE })).auth).toBe("code");
  });
});

describe("a passphrase", () => {
  it("that was wrong three times makes the listener busy for that source, and for no other", async () => {
    const listener = await listening({ passphrase: PASSPHRASE });
    let guesses = 0;
    listener.on("guess", () => guesses++);
    const wrong = { passphrase: utf8Encode("another passphrase") };
    const outcomes: string[] = [];
    for (let n = 0; n < 6; n++) outcomes.push(await guess(listener.port, LOOPBACK, wrong));
    expect(outcomes).toEqual(["refused", "refused", "refused", "busy", "busy", "busy"]);
    expect(guesses).toBe(3);
    const late = connecting(listener.port, { passphrase: PASSPHRASE });
    await expect(late).rejects.toMatchObject({ code: "ERR_BUSY" });
    const link = await connecting(listener.port, { passphrase: PASSPHRASE, localAddress: "127.0.0.2" });
    expect(link.auth).toBe("passphrase");
  });

  it("links three of three peers while twelve strangers guess as fast as they can", async () => {
    const listener = await listening({ passphrase: PASSPHRASE, maxLinks: 10 });
    let guesses = 0;
    listener.on("guess", () => guesses++);
    let isOver = false;
    const wrong = { passphrase: utf8Encode("another passphrase") };
    const loops = Array.from({ length: 12 }, async () => {
      while (!isOver) await guess(listener.port, LOOPBACK, wrong);
    });
    await vi.waitUntil(() => guesses >= 3, { timeout: 10_000 });
    for (let n = 1; n <= 3; n++) {
      const link = await connecting(listener.port, {
        passphrase: PASSPHRASE,
        localAddress: `127.0.0.${n + 1}`,
        timeoutMs: 5000,
      });
      expect(link.auth).toBe("passphrase");
    }
    isOver = true;
    await Promise.all(loops);
    expect(guesses).toBeLessThanOrEqual(4);
  });

  it("links again and again", async () => {
    const listener = await listening({ passphrase: PASSPHRASE, maxLinks: 3 });
    for (let i = 0; i < 3; i++) {
      expect((await connecting(listener.port, { passphrase: PASSPHRASE })).auth).toBe("passphrase");
    }
  });
});

describe("the source of a guess", () => {
  const at = (kind: "udp" | "relay", index: number, address: string): DatagramOrigin => {
    const socket = { kind, index } as DatagramSocket;
    return { socket, address, port: 5 };
  };

  it("is an address or a /64, and behind a relay the relay's room as well", () => {
    expect(guessSourceOf(at("udp", 0, "192.0.2.7"))).toBe(guessSourceOf(at("udp", 3, "192.0.2.7")));
    expect(guessSourceOf(at("udp", 1, "2001:db8::1"))).toBe(guessSourceOf(at("udp", 1, "2001:db8::2")));
    const rooms = [3, 4].map((index) => guessSourceOf(at("relay", index, RELAY_ADDRESS.address)));
    expect(rooms[0]).not.toBe(rooms[1]);
    // Who floods one room must not use up the cookies of another.
    const addresses = [3, 4].map((index) => peerAddressOf(at("relay", index, RELAY_ADDRESS.address)));
    expect(addresses[0]).not.toBe(addresses[1]);
    expect(peerAddressOf(at("udp", 3, "192.0.2.7"))).toBe("192.0.2.7");
    expect(guessSourceOf(at("relay", 3, "192.0.2.7"))).not.toBe(guessSourceOf(at("udp", 3, "192.0.2.7")));
  });
});

describe("keys", () => {
  it("link peers that expect each other", async () => {
    const [here, there] = [keyPair(), keyPair()];
    const listener = await listening({ identity: here, peer: [there.publicKey] });
    const link = await connecting(listener.port, { identity: there, peer: [here.publicKey] });
    expect(link.auth).toBe("key");
    expect(toHex(link.peer)).toBe(toHex(here.publicKey));
  });

  it("that are refused are reported to the peer and to the listener", async () => {
    const [here, there, stranger] = [keyPair(), keyPair(), keyPair()];
    const listener = await listening({ identity: here, peer: [there.publicKey] });
    const refused = once(listener, "refused");
    const coming = connecting(listener.port, { identity: stranger, peer: [here.publicKey] });
    await expect(coming).rejects.toMatchObject({ code: "ERR_KEY_REFUSED" });
    expect(toHex((await refused)[0].key)).toBe(toHex(stranger.publicKey));
  });

  it("may be judged asynchronously", async () => {
    const listener = await listening({
      verifyPeer: async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return true;
      },
    });
    expect((await connecting(listener.port, { verifyPeer: async () => true })).auth).toBe("key");
  });

  it("are not judged where a secret authenticates the peer", async () => {
    const listener = await listening({ secret: SECRET, verifyPeer: () => false });
    expect((await connecting(listener.port, { secret: SECRET })).auth).toBe("secret");
  });

  it("that are pinned are required of a peer with the secret too", async () => {
    const listener = await listening({ secret: SECRET, peer: [keyPair().publicKey] });
    const coming = connecting(listener.port, { secret: SECRET });
    await expect(coming).rejects.toMatchObject({ code: "ERR_KEY_REFUSED" });
  });
});

describe("a listener with all its links", () => {
  it.each([
    ["secret", { secret: SECRET }],
    ["passphrase", { passphrase: PASSPHRASE }],
  ] as const)(
    "refuses others by %s as busy, and links the next peer when there is room",
    async (_, trust) => {
      const listener = await listening(trust);
      const visits: unknown[] = [];
      listener.on("busy", (visit) => visits.push(visit));
      const arriving = once(listener, "link");
      const first = await connecting(listener.port, trust);
      const [far] = (await arriving) as [Link];
      await expect(connecting(listener.port, trust)).rejects.toMatchObject({ code: "ERR_BUSY" });
      expect(visits.length).toBeGreaterThan(0);
      first.end();
      far.end();
      first.resume();
      far.resume();
      await Promise.all([once(first, "close"), once(far, "close")]);
      expect((await connecting(listener.port, trust)).auth).toBeDefined();
    },
  );
});

describe("strangers", () => {
  it("in hundreds neither lock out the right peer nor make the listener send more than it received", async () => {
    const listener = await listening({ code: CODE });
    const flooder = createSocket("udp4");
    flooder.bind(0, LOOPBACK);
    await once(flooder, "listening");
    let answers = 0;
    let answeredBytes = 0;
    flooder.on("message", (bytes) => {
      answers++;
      answeredBytes += bytes.length;
    });
    for (let i = 0; i < 600; i++) {
      await new Promise((resolve) =>
        flooder.send(forgedFirst({ mode: "code" }), listener.port, LOOPBACK, resolve),
      );
    }
    expect((await connecting(listener.port, { code: CODE })).auth).toBe("code");
    expect(answers).toBeGreaterThan(0);
    expect(answeredBytes).toBeLessThanOrEqual(600 * 1200);
    flooder.close();
  });

  it("that use a mode that is not offered get no answer", async () => {
    const listener = await listening({ code: CODE });
    const stranger = createSocket("udp4");
    stranger.bind(0, LOOPBACK);
    await once(stranger, "listening");
    let answers = 0;
    stranger.on("message", () => answers++);
    stranger.send(forgedFirst({ mode: "key" }), listener.port, LOOPBACK);
    stranger.send(forgedFirst({ mode: "secret" }), listener.port, LOOPBACK);
    await connecting(listener.port, { code: CODE });
    expect(answers).toBe(0);
    stranger.close();
  });

  it("of another wire version are reported with their versions", async () => {
    const listener = await listening({ code: CODE });
    const stranger = createSocket("udp4");
    const seen = once(listener, "version");
    const bytes = forgedFirst({ mode: "code", versions: { lowest: 5, highest: 7 } });
    stranger.send(bytes, listener.port, LOOPBACK);
    expect((await seen)[0]).toMatchObject({ lowest: 5, highest: 7 });
    stranger.close();
  });
});

describe("two peers that connect to each other", () => {
  it("link on one host without a listener when each names its local port", async () => {
    const ports: number[] = [];
    for (const probe of [await listening({ secret: SECRET }), await listening({ secret: SECRET })]) {
      ports.push(probe.port);
      await probe.close();
    }
    const [first, second] = ports as [number, number];
    const both = await Promise.all([
      connect({ host: LOOPBACK, port: second, localPort: first, secret: SECRET, timeoutMs: 8000 }),
      connect({ host: LOOPBACK, port: first, localPort: second, secret: SECRET, timeoutMs: 8000 }),
    ]);
    const [one, other] = both;
    one.end("from one");
    other.end("from the other");
    expect(await Promise.all([text(one), text(other)])).toEqual(["from the other", "from one"]);
  });
});

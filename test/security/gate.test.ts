/** The gate of a responder: silence, cookies, and the allowances of strangers and of peers with the key or secret. */
import { describe, expect, it } from "vitest";
import { gateKey } from "../../src/crypto/first-message-mac.ts";
import { type Admission, Gate } from "../../src/engine/acceptor/gate.ts";
import type { Credentials, Handshake, HandshakeConfig, Mode } from "../../src/engine/handshake/handshake.ts";
import { COOKIE_PACKET_BYTES, readClientHello } from "../../src/wire/first-message.ts";
import { forgedFirst } from "../lib/first-message.ts";
import { Random } from "../sim/random.ts";
import {
  assertLinked,
  CREDENTIALS,
  carry,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  RESPONDER_KEYS,
  resealed,
  started,
} from "../unit/engine/handshake-sides.ts";

const random = new Random(7, "gate");
const HERE = ["192.0.2.7", 4242] as const;

function newGate(credentials: Credentials, isSilent = false, nowMs = 0): Gate {
  const gate = new Gate(nowMs, {
    random: (byteLength) => random.bytes(byteLength),
    publicKey: RESPONDER_KEYS.publicKey,
    isSilent,
  });
  gate.setCredentials(credentials);
  return gate;
}

/** The decision of the gate on a message that arrives at `now`. */
function knock(gate: Gate, bytes: Uint8Array, now = 0, [address, port] = HERE as readonly [string, number]) {
  const hello = gate.examine(bytes);
  return hello === undefined ? "silence" : gate.admit(now, hello, address, port);
}

/** Takes what may begin for nothing, up to the first that does not enter. */
function exhaust(gate: Gate, mode: Mode, gateMaterial: Uint8Array | undefined, now = 0): number {
  for (let entered = 0; ; entered++) {
    const bytes = forgedFirst({
      mode,
      random: (byteLength) => random.bytes(byteLength),
      ...(gateMaterial !== undefined && { gate: gateMaterial }),
    });
    // Each from an address of its own, so that no pause between two cookies comes in between.
    if (knock(gate, bytes, now, [`203.0.113.${entered}`, 1]) !== "enter") return entered;
  }
}

const acquaintance: Partial<HandshakeConfig> = { peerKey: RESPONDER_KEYS.publicKey };
/** The gate key that belongs to what the peers of a mode have. */
const keyOf = (mode: Mode): Uint8Array | undefined =>
  mode === "secret" || mode === "ticket"
    ? gateKey("secret", CREDENTIALS[mode])
    : mode === "key"
      ? gateKey("key", RESPONDER_KEYS.publicKey)
      : undefined;

function cookieFor(gate: Gate, initiator: Handshake, first: Uint8Array, now = 0): Uint8Array {
  const reply = knock(gate, first, now);
  if (typeof reply === "string") throw new Error(`no cookie but ${reply}`);
  expect(initiator.handlePacket(now, reply)).toBe("repeat");
  return reply;
}

describe("the gate", () => {
  it.each(MODES_UNDER_TEST)("admits a peer with the expected mode and mac1 (%s)", (mode) => {
    for (const isSilent of [false, true]) {
      const gate = newGate({ [mode]: CREDENTIALS[mode] }, isSilent);
      expect(knock(gate, started(newInitiator(mode, acquaintance)))).toBe("enter");
    }
  });

  it("does not answer a peer without the secret, in any mode", () => {
    for (const own of ["secret", "ticket"] as const) {
      const gate = newGate({ [own]: CREDENTIALS[own] });
      for (const mode of MODES_UNDER_TEST) {
        const credentials = { ...CREDENTIALS, [own]: random.bytes(32) };
        expect(knock(gate, started(newInitiator(mode, { credentials }))), `${mode} at ${own}`).toBe(
          "silence",
        );
      }
      for (let value = 5; value < 256; value += 50) {
        const odd = Uint8Array.from(forgedFirst({ mode: "key" }));
        odd[21] = value;
        expect(knock(gate, resealed(odd))).toBe("silence");
      }
      const future = forgedFirst({ mode: "code", versions: { lowest: 9, highest: 9 } });
      expect(knock(gate, future)).toBe("silence");
    }
  });

  it("does not answer a peer without the local key where silence is configured", () => {
    const silent = newGate({ key: true }, true);
    const open = newGate({ key: true });
    const stranger = started(newInitiator("key"));
    const mistaken = started(newInitiator("key", { peerKey: random.bytes(32) }));
    for (const first of [stranger, mistaken, forgedFirst({ mode: "code" })]) {
      expect(knock(silent, first)).toBe("silence");
    }
    // Elsewhere a peer that expects another key learns so.
    expect([knock(open, stranger), knock(open, mistaken)]).toEqual(["enter", "enter"]);
  });

  it("demands a cookie for a second run while one is in progress from the same address", () => {
    const gate = newGate({ passphrase: CREDENTIALS.passphrase });
    const [address, port] = HERE;
    const helloOf = (seed: number) => gate.examine(started(newInitiator("passphrase", {}, seed)))!;
    expect(gate.admit(0, helloOf(1), address, port)).toBe("enter");
    const run = gate.beginRun(0, "passphrase", address);
    if (run === undefined || typeof run === "string") throw new Error("no run");
    expect(gate.admit(0, helloOf(2), address, port)).toBeInstanceOf(Uint8Array);
    expect(gate.admit(0, helloOf(3), "192.0.2.8", port)).toBe("enter");
    gate.guesses.endRun(run);
    expect(gate.admit(0, helloOf(4), address, port)).toBe("enter");
    // Where there is no passphrase any more, there is nothing to guess.
    gate.setCredentials({});
    expect(gate.beginRun(0, "passphrase", address)).toBeUndefined();
  });

  it("drops a first message with any bit of mac1 or of the bytes that it covers changed", () => {
    const first = started(newInitiator("secret"));
    const gate = newGate({ secret: CREDENTIALS.secret });
    const { covered } = readClientHello(first)!;
    for (let bit = 0; bit < covered.length * 8; bit++) {
      const copy = Uint8Array.from(first);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      expect(knock(gate, copy), `bit ${bit}`).toBe("silence");
    }
    for (let bit = 1152 * 8; bit < 1168 * 8; bit++) {
      const copy = Uint8Array.from(first);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      expect(knock(gate, copy), `bit ${bit}`).toBe("silence");
    }
    expect(knock(gate, first)).toBe("enter");
  });

  it("answers a peer with a void code only where there was a code or strangers are answered", () => {
    const gate = newGate({ code: CREDENTIALS.code });
    gate.setCredentials({});
    expect(knock(gate, forgedFirst({ mode: "code" }))).toBe("enter");
    expect(knock(newGate({ key: true }), forgedFirst({ mode: "code" }))).toBe("enter");
  });

  it("does not answer a peer with a spent ticket", () => {
    const gate = newGate({ ticket: CREDENTIALS.ticket });
    const first = started(newInitiator("ticket"));
    expect(knock(gate, first)).toBe("enter");
    gate.setCredentials({});
    expect(knock(gate, first)).toBe("silence");
  });
});

describe("a cookie", () => {
  it.each(MODES_UNDER_TEST)(
    "is demanded under load, and the same message with it is admitted and links (%s)",
    (mode) => {
      const gate = newGate(CREDENTIALS);
      exhaust(gate, mode, keyOf(mode));
      const initiator = newInitiator(mode, acquaintance);
      const responder = newResponder();
      const first = started(initiator);
      expect(cookieFor(gate, initiator, first).length).toBe(COOKIE_PACKET_BYTES);
      const again = initiator.pollTransmit()!;
      expect(again.length).toBe(1200);
      expect(again.subarray(0, 1168)).toEqual(first.subarray(0, 1168));
      expect(again.subarray(1168, 1184)).not.toEqual(first.subarray(1168, 1184));
      expect(knock(gate, again)).toBe("enter");
      carry(again, responder, initiator);
      assertLinked(initiator, responder);
    },
  );

  it("21 · is valid from the address that it was sent to and from no other", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    cookieFor(gate, initiator, started(initiator));
    const again = initiator.pollTransmit()!;
    expect(knock(gate, again, 0, ["192.0.2.8", 4242])).toHaveLength(COOKIE_PACKET_BYTES);
    exhaust(gate, "code", undefined, 300);
    expect(knock(gate, again, 300, ["192.0.2.7", 4243])).toHaveLength(COOKIE_PACKET_BYTES);
    expect(knock(gate, again, 300)).toBe("enter");
  });

  it("21 · is valid for one attempt: another from the same address needs another cookie", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    cookieFor(gate, initiator, started(initiator));
    const again = initiator.pollTransmit()!;
    const other = Uint8Array.from(forgedFirst({ mode: "code" }));
    other.set(again.subarray(1168, 1184), 1168);
    exhaust(gate, "code", undefined, 300);
    expect(knock(gate, resealed(other), 300)).toHaveLength(COOKIE_PACKET_BYTES);
  });

  it("21 · expires within two minutes, and a new one is sent", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    cookieFor(gate, initiator, started(initiator));
    const again = initiator.pollTransmit()!;
    const later = 120_000;
    exhaust(gate, "code", undefined, later);
    const fresh = cookieFor(gate, initiator, again, later + 1);
    expect(fresh).toHaveLength(COOKIE_PACKET_BYTES);
    const third = initiator.pollTransmit()!;
    expect(third).not.toEqual(again);
    expect(knock(gate, third, later + 2)).toBe("enter");
  });

  it("21 · that was forged, edited or sealed for another message is ignored, and the genuine one is still accepted", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    const first = started(initiator);
    const cookie = knock(gate, first) as Uint8Array;
    for (let bit = 0; bit < cookie.length * 8; bit++) {
      const copy = Uint8Array.from(cookie);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      expect(initiator.handlePacket(0, copy), `bit ${bit}`).toBe("ignored");
    }
    const elsewhere = knock(gate, forgedFirst({ mode: "code" }), 0, ["198.51.100.1", 1]) as Uint8Array;
    const readdressed = Uint8Array.from(elsewhere);
    readdressed.set(cookie.subarray(2, 10), 2);
    for (const other of [elsewhere, readdressed, cookie.subarray(0, 65)]) {
      expect(initiator.handlePacket(0, other)).toBe("ignored");
    }
    expect(initiator.pollTransmit()).toBeUndefined();
    expect(initiator.handlePacket(1, cookie)).toBe("repeat");
    expect(knock(gate, initiator.pollTransmit()!, 1)).toBe("enter");
  });

  it("21 · that is repeated does not make the initiator exceed its retransmission rate", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    const cookie = knock(gate, started(initiator)) as Uint8Array;
    let sent = 0;
    for (let now = 0; now < 200; now++) {
      initiator.handlePacket(now, cookie);
      if (initiator.pollTransmit() !== undefined) sent++;
    }
    expect(sent).toBe(1);
  });

  it("21 · is ignored once an answer was accepted", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const initiator = newInitiator("code");
    const responder = newResponder();
    const first = started(initiator);
    const cookie = knock(gate, first) as Uint8Array;
    responder.handlePacket(0, first);
    initiator.handlePacket(0, responder.pollTransmit()!);
    const noise1 = initiator.pollTransmit()!;
    expect(initiator.handlePacket(0, cookie)).toBe("ignored");
    expect(initiator.request).toEqual(noise1);
    expect(responder.handlePacket(0, cookie)).toBe("ignored");
  });

  it("21 · is sent to one address once in 250 ms, and takes no memory", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    const replies: Admission[] = [];
    for (let now = 0; now < 1000; now += 10) {
      replies.push(knock(gate, forgedFirst({ mode: "code" }), now) as Admission);
    }
    const cookies = replies.filter((reply) => typeof reply !== "string").length;
    expect(cookies).toBeLessThanOrEqual(4);
    expect(cookies).toBeGreaterThan(2);
  });
});

describe("allowances", () => {
  it("22 · admit a burst at once and a few handshakes per second", () => {
    const gate = newGate(CREDENTIALS);
    expect(exhaust(gate, "code", undefined)).toBe(32);
    expect(exhaust(gate, "code", undefined, 1000)).toBe(4);
  });

  it("of peers with the key are not used up by strangers", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "key", undefined);
    expect(knock(gate, started(newInitiator("key", acquaintance)))).toBe("enter");
    expect(knock(gate, started(newInitiator("secret")))).toBe("enter");
    expect(typeof knock(gate, started(newInitiator("code")))).not.toBe("string");
  });

  it("22 · also limit handshakes from validated addresses", () => {
    const gate = newGate(CREDENTIALS);
    exhaust(gate, "code", undefined);
    let entered = 0;
    for (let i = 0; i < 300; i++) {
      const origin = [`198.51.${i >> 8}.${i & 255}`, 9] as const;
      const initiator = newInitiator("code", {}, 1000 + i);
      const reply = knock(gate, started(initiator), 0, origin);
      if (typeof reply === "string") continue;
      initiator.handlePacket(0, reply);
      if (knock(gate, initiator.pollTransmit()!, 0, origin) === "enter") entered++;
    }
    expect(entered).toBe(100);
  });
});

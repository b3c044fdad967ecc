/** The acceptor in virtual time: which peers may start a handshake, and which get a link. */
import { describe, expect, it } from "vitest";
import { utf8Encode } from "../../../../src/base/bytes.ts";
import { gateKey } from "../../../../src/crypto/first-message-mac.ts";
import { MAX_HALF_OPEN } from "../../../../src/engine/acceptor/acceptor.ts";
import type { Credentials, Mode } from "../../../../src/engine/handshake/handshake.ts";
import { HEADER_BYTES, TAG_BYTES, writeHeader } from "../../../../src/wire/packet.ts";
import { forgedFirst } from "../../../lib/first-message.ts";
import { Random } from "../../../sim/random.ts";
import { CREDENTIALS, INITIATOR_KEYS, MODES_UNDER_TEST, RESPONDER_KEYS } from "../handshake-sides.ts";
import { AcceptorWorld } from "./acceptor-world.ts";

const { code, passphrase, secret, ticket } = CREDENTIALS;
const WRONG_CODE: Credentials = { code: utf8Encode("43-ocean-lizard-maple") };
const WRONG_PASSPHRASE: Credentials = { passphrase: utf8Encode("another passphrase") };
const KNOWN_KEY = { peerKey: RESPONDER_KEYS.publicKey };
const LINKED: Record<Mode, string[]> = {
  key: ["noise2", "data"],
  secret: ["noise2", "data"],
  ticket: ["noise2", "data"],
  code: ["pakeAnswer", "noise2", "data"],
  passphrase: ["pakeAnswer", "noise2", "data"],
};
const NOTHING_HELD = { acceptedConnections: 0, halfOpen: 0, links: 0 };

const address = (n: number): string => `192.0.${2 + (n >>> 8)}.${n & 255}`;

/** Runs one handshake with a wrong code from an address of its own. */
function guessCode(world: AcceptorWorld, n: number): string[] {
  return world.run(world.newPeer("code", { credentials: WRONG_CODE }), address(n));
}

describe("a peer with the right credential", () => {
  it.each(MODES_UNDER_TEST)("gets a link (%s), and the acceptor holds only the link", (mode) => {
    const world = new AcceptorWorld({ credentials: { [mode]: CREDENTIALS[mode] } });
    expect(world.run(world.newPeer(mode, KNOWN_KEY), address(1))).toEqual(LINKED[mode]);
    expect(world.eventKinds).toContain("established");
    expect(world.acceptor.counts).toEqual({ acceptedConnections: 1, halfOpen: 0, links: 1 });
    world.endLink();
    expect(world.acceptor.counts).toEqual(NOTHING_HELD);
  });

  it("that repeats its first message gets the same answer from the same connection", () => {
    const world = new AcceptorWorld({ credentials: { secret } });
    const first = world.start(world.newPeer("secret"));
    const answer = world.receive(address(1), first);
    expect(answer).toHaveLength(1);
    expect(world.receive(address(1), first)).toEqual(answer);
    expect(world.made).toBe(1);
  });

  it("that calls from two addresses gets one link, and its other attempt is discarded", () => {
    const world = new AcceptorWorld({ credentials: { secret }, maxLinks: 5 });
    const peer = world.newPeer("secret");
    const first = world.start(peer);
    world.receive(address(2), first);
    expect(world.acceptor.counts.halfOpen).toBe(1);
    expect(world.run(peer, address(1), first)).toEqual(LINKED.secret);
    expect(world.eventKinds).toEqual(["discard", "established"]);
    expect(world.acceptor.counts).toEqual({ acceptedConnections: 1, halfOpen: 0, links: 1 });
  });
});

describe("wrong guesses at a code", () => {
  it("void the code at the third, and a new code counts from zero", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    for (let n = 1; n <= 3; n++) expect(guessCode(world, n)).toEqual(["pakeAnswer", "refused"]);
    expect(world.eventKinds).toEqual(["guess 1", "guess 2", "codeRetired", "guess 3", "burnt"]);
    // The right code comes too late, and is not counted as a guess.
    expect(world.run(world.newPeer("code"), address(4))).toEqual(["refused"]);
    expect(world.eventKinds.slice(5)).toEqual(["discard"]);
    world.setCode(WRONG_CODE.code);
    expect(world.run(world.newPeer("code"), address(5))).toEqual(["pakeAnswer", "refused"]);
    expect(world.eventKinds.at(-1)).toBe("guess 1");
    expect(guessCode(world, 6)).toEqual(LINKED.code);
  });

  it("leave the code valid for the right peer while they are two", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    guessCode(world, 1);
    guessCode(world, 2);
    expect(world.run(world.newPeer("code"), address(3))).toEqual(LINKED.code);
  });

  it("count once for each run, however often the confirmation is repeated", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    const peer = world.newPeer("code", { credentials: WRONG_CODE });
    const [answer] = world.receive(address(1), world.start(peer));
    peer.handlePacket(0, answer!);
    const confirmation = peer.pollTransmit()!;
    for (let n = 0; n < 5; n++) expect(world.receive(address(1), confirmation)).toHaveLength(1);
    expect(world.eventKinds).toEqual(["guess 1"]);
  });

  it("count when the confirmation follows another packet in its datagram", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    const peer = world.newPeer("code", { credentials: WRONG_CODE });
    const [answer] = world.receive(address(1), world.start(peer));
    peer.handlePacket(0, answer!);
    const confirmation = peer.pollTransmit()!;
    const datagram = new Uint8Array(HEADER_BYTES + TAG_BYTES + confirmation.length);
    const at = writeHeader(datagram, 0, 0, confirmation.subarray(3, 11), 0, TAG_BYTES);
    datagram.set(confirmation, at + TAG_BYTES);
    world.receive(address(1), datagram);
    expect(world.eventKinds).toEqual(["guess 1"]);
  });

  it("are three even when more runs were started beforehand: the fourth is refused unexamined", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    const prepared = [1, 2, 3, 4].map((n) => {
      const isLast = n === 4;
      const peer = world.newPeer("code", isLast ? {} : { credentials: WRONG_CODE });
      const [answer] = world.receive(address(n), world.start(peer));
      peer.handlePacket(0, answer!);
      return { peer, from: address(n), confirmation: peer.pollTransmit()! };
    });
    const answers = prepared.map(({ peer, from, confirmation }) => world.run(peer, from, confirmation));
    // The last one has the right code.
    expect(answers).toEqual([["refused"], ["refused"], ["refused"], ["refused"]]);
    expect(world.eventKinds.filter((kind) => kind.startsWith("guess"))).toHaveLength(3);
    expect(world.acceptor.counts.links).toBe(0);
  });

  it("are impossible once the code was used for a link", () => {
    const world = new AcceptorWorld({ credentials: { code }, maxLinks: 5 });
    const late = world.newPeer("code", { credentials: WRONG_CODE });
    const [answer] = world.receive(address(2), world.start(late));
    late.handlePacket(0, answer!);
    const confirmation = late.pollTransmit()!;
    expect(world.run(world.newPeer("code"), address(1))).toEqual(LINKED.code);
    expect(world.eventKinds).toEqual(["codeRetired", "established"]);
    expect(world.run(late, address(2), confirmation)).toEqual(["refused"]);
    expect(guessCode(world, 3)).toEqual(["refused"]);
    expect(world.eventKinds).not.toContain("guess 1");
  });
});

describe("guesses at a passphrase", () => {
  const guess = (world: AcceptorWorld, from: string): string[] =>
    world.run(world.newPeer("passphrase", { credentials: WRONG_PASSPHRASE }), from);

  it("are three from one source, then each needs a pause, and other sources are not affected", () => {
    const world = new AcceptorWorld({ credentials: { passphrase } });
    for (let n = 0; n < 3; n++) expect(guess(world, address(1))).toEqual(["pakeAnswer", "refused"]);
    expect(guess(world, address(1))).toEqual(["busy"]);
    world.advance(9_999);
    expect(guess(world, address(1))).toEqual(["busy"]);
    world.advance(1);
    expect(guess(world, address(1))).toEqual(["pakeAnswer", "refused"]);
    expect(world.run(world.newPeer("passphrase"), address(2))).toEqual(LINKED.passphrase);
    expect(world.eventKinds.filter((kind) => kind.startsWith("guess"))).toHaveLength(4);
  });

  it("need a cookie for a second run from the same source while one is in progress", () => {
    const world = new AcceptorWorld({ credentials: { passphrase }, maxLinks: 5 });
    const first = world.newPeer("passphrase");
    const [answer] = world.receive(address(1), world.start(first));
    first.handlePacket(0, answer!);
    expect(world.run(world.newPeer("passphrase"), address(1))).toEqual(["cookie", ...LINKED.passphrase]);
    expect(world.run(world.newPeer("passphrase"), address(2))).toEqual(LINKED.passphrase);
    // The first run still succeeds, and then the next needs no cookie.
    expect(world.run(first, address(1), first.pollTransmit())).toEqual(["noise2", "data"]);
    expect(world.run(world.newPeer("passphrase"), address(1))).toEqual(LINKED.passphrase);
  });
});

describe("a listener with all its links", () => {
  it.each(["code", "passphrase"] as const)("answers a peer with a %s that it is busy", (mode) => {
    const world = new AcceptorWorld({ credentials: { secret, [mode]: CREDENTIALS[mode] } });
    expect(world.run(world.newPeer("secret"), address(1))).toEqual(LINKED.secret);
    expect(world.run(world.newPeer(mode), address(2))).toEqual(["busy"]);
    expect(world.eventKinds).toEqual(["established", "busy"]);
    expect(world.made).toBe(1);
    world.endLink();
    expect(world.run(world.newPeer(mode), address(3))).toEqual(LINKED[mode]);
  });

  it.each(["secret", "ticket", "key"] as const)(
    "turns a peer away under the keys of its handshake (%s)",
    (mode) => {
      const world = new AcceptorWorld({ credentials: { passphrase, [mode]: CREDENTIALS[mode] } });
      world.run(world.newPeer("passphrase"), address(1));
      const peer = world.newPeer(mode, KNOWN_KEY);
      // The one data packet is the CLOSE.
      expect(world.run(peer, address(2))).toEqual(["noise2", "data"]);
      expect(world.eventKinds).toEqual(["established", "busy"]);
      expect(world.acceptor.counts).toMatchObject({ halfOpen: 0, links: 1 });
      world.endLink();
      world.advance(60_000);
      expect(world.acceptor.counts).toEqual(NOTHING_HELD);
    },
  );

  it("gives the last place to the first of two peers that authenticate at the same time", () => {
    const world = new AcceptorWorld({ credentials: { secret } });
    const peers = [1, 2].map((n) => {
      const peer = world.newPeer("secret");
      const [answer] = world.receive(address(n), world.start(peer));
      peer.handlePacket(0, answer!);
      return { from: address(n), last: peer.pollTransmit()! };
    });
    for (const { from, last } of peers) world.receive(from, last);
    expect(world.eventKinds).toEqual(["established", "busy"]);
    expect(world.acceptor.counts.links).toBe(1);
  });

  it("keeps silent to another address of the peer that it has linked with", () => {
    const world = new AcceptorWorld({ credentials: { passphrase } });
    const peer = world.newPeer("passphrase");
    const first = world.start(peer);
    world.run(peer, address(1), first);
    expect(world.receive(address(2), first)).toEqual([]);
    expect(world.eventKinds).toEqual(["established"]);
  });
});

describe("first messages under load", () => {
  const random = new Random(5, "load");
  const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
  const forged = (mode: Mode): Uint8Array =>
    forgedFirst({
      mode,
      random: draw,
      ...(mode === "key" && { gate: gateKey("key", RESPONDER_KEYS.publicKey) }),
    });
  /** Uses up the handshakes that need no cookie, each from an address of its own. */
  const exhaust = (world: AcceptorWorld, from: number): number => {
    for (let n = 0; n <= 100; n++) {
      const { made } = world;
      world.receive(address(from + n), forged("key"));
      if (world.made === made) return n;
    }
    throw new Error("100 handshakes started without a cookie");
  };

  it("need a cookie after 32 handshakes, and again after the secret of the cookies was replaced", () => {
    const world = new AcceptorWorld({ credentials: { key: true } });
    expect(exhaust(world, 0)).toBe(32);
    const peer = world.newPeer("key", KNOWN_KEY);
    const [cookie] = world.receive(address(200), world.start(peer));
    expect(cookie).toHaveLength(66);
    peer.handlePacket(0, cookie!);
    const withCookie = peer.pollTransmit()!;
    world.advance(120_000);
    exhaust(world, 300);
    // The cookie is two minutes old: another is demanded, and that one counts.
    expect(world.run(peer, address(200), withCookie)).toEqual(["cookie", ...LINKED.key]);
  });

  it("are admitted with a cookie only from the address that it was sent to", () => {
    const world = new AcceptorWorld({ credentials: { key: true } });
    exhaust(world, 0);
    const peer = world.newPeer("key", KNOWN_KEY);
    const [cookie] = world.receive(address(200), world.start(peer));
    peer.handlePacket(0, cookie!);
    const withCookie = peer.pollTransmit()!;
    const { made } = world;
    world.receive(address(201), withCookie);
    expect(world.made).toBe(made);
    expect(world.run(peer, address(200), withCookie)).toEqual(LINKED.key);
  });

  it("get one cookie in 250 ms at one address", () => {
    const world = new AcceptorWorld({ credentials: { key: true } });
    exhaust(world, 0);
    const cookiesAt = (): number => {
      let cookies = 0;
      for (let n = 0; n < 50; n++) cookies += world.receive(address(200), forged("key")).length;
      return cookies;
    };
    expect(cookiesAt()).toBe(1);
    world.advance(249);
    expect(cookiesAt()).toBe(0);
  });

  it("of forged addresses hold 128 connections at most: the oldest gives way, and a peer still gets in", () => {
    const world = new AcceptorWorld({ credentials: { key: true } });
    const early = world.start(world.newPeer("key", KNOWN_KEY));
    const answer = world.receive(address(600), early);
    const discarded: number[] = [];
    for (let n = 0; n < 400; n++) {
      world.advance(250);
      world.receive(address(n), forged("key"));
      expect(world.acceptor.counts.halfOpen).toBeLessThanOrEqual(MAX_HALF_OPEN);
      expect(world.held.size).toBeLessThanOrEqual(MAX_HALF_OPEN);
      discarded.push(world.eventKinds.filter((kind) => kind === "discard").length);
    }
    expect(world.made).toBe(401);
    // The connection that was the oldest is gone, so that its first message starts another.
    world.advance(250);
    expect(world.receive(address(600), early)).not.toEqual(answer);
    expect(world.made).toBe(402);
    expect(world.acceptor.counts).toEqual({
      acceptedConnections: MAX_HALF_OPEN,
      halfOpen: MAX_HALF_OPEN,
      links: 0,
    });
    // None is discarded before there are 128, and afterwards one for each new connection.
    expect([discarded[126], discarded[127], discarded.at(-1)]).toEqual([0, 1, 401 - MAX_HALF_OPEN]);
    world.advance(250);
    expect(world.run(world.newPeer("key", KNOWN_KEY), address(500))).toEqual(LINKED.key);
  });

  it("leave nothing behind two minutes later", () => {
    const world = new AcceptorWorld({ credentials: { key: true, passphrase } });
    for (let n = 0; n < 60; n++) {
      world.receive(address(n), forged(n % 2 === 0 ? "key" : "passphrase"));
      world.advance(250);
    }
    expect(world.acceptor.counts.halfOpen).toBeGreaterThan(40);
    world.advance(119_000 - 60 * 250);
    expect(world.acceptor.counts.halfOpen).toBeGreaterThan(40);
    world.advance(16_000);
    expect(world.acceptor.counts).toEqual(NOTHING_HELD);
    expect(world.held.size).toBe(0);
  });
});

describe("a ticket", () => {
  it("is good for one link: other attempts are discarded and later ones get silence", () => {
    const world = new AcceptorWorld({ credentials: { ticket }, maxLinks: 5 });
    const rival = world.newPeer("ticket");
    const [answer] = world.receive(address(2), world.start(rival));
    rival.handlePacket(0, answer!);
    const last = rival.pollTransmit()!;
    expect(world.run(world.newPeer("ticket"), address(1))).toEqual(LINKED.ticket);
    expect(world.eventKinds).toEqual(["ticketSpent", "discard", "established"]);
    expect(world.receive(address(2), last)).toEqual([]);
    expect(world.run(world.newPeer("ticket"), address(3))).toEqual([]);
    expect(world.acceptor.counts).toEqual({ acceptedConnections: 1, halfOpen: 0, links: 1 });
  });
});

describe("a listener with a secret", () => {
  it.each(MODES_UNDER_TEST)("is silent to a peer without it and holds nothing for it (%s)", (mode) => {
    const world = new AcceptorWorld({ credentials: { secret } });
    const credentials = { ...CREDENTIALS, secret: new Random(3, "wrong").bytes(32) };
    expect(world.run(world.newPeer(mode, { credentials }), address(1))).toEqual([]);
    expect([world.made, world.events.length, world.acceptor.counts]).toEqual([0, 0, NOTHING_HELD]);
  });
});

describe("a peer that cannot get a link", () => {
  it("because it supports other versions only gets the versions, and nothing is kept", () => {
    const world = new AcceptorWorld({ credentials: { code } });
    const bytes = forgedFirst({ mode: "code", versions: { lowest: 5, highest: 7 } });
    const replies = world.receive(address(1), bytes);
    expect(replies).toHaveLength(1);
    expect(world.events[0]).toMatchObject({ kind: "version", lowest: 5, highest: 7 });
    expect([world.held.size, world.acceptor.counts]).toEqual([0, NOTHING_HELD]);
  });

  it("because its key is refused takes no place, and the event names the key", () => {
    const world = new AcceptorWorld({ credentials: { key: true }, verifyPeer: () => "refuse" });
    world.run(world.newPeer("key", KNOWN_KEY), address(1));
    expect(world.events).toMatchObject([{ kind: "refused", key: INITIATOR_KEYS.publicKey }]);
    expect(world.acceptor.counts).toMatchObject({ halfOpen: 0, links: 0 });
  });
});

describe("closing", () => {
  it("discards the handshakes in progress and leaves links alone", () => {
    const world = new AcceptorWorld({ credentials: { secret }, maxLinks: 5 });
    world.run(world.newPeer("secret"), address(1));
    world.receive(address(2), world.start(world.newPeer("secret")));
    world.close();
    expect(world.eventKinds).toEqual(["established", "discard"]);
    expect(world.acceptor.counts).toEqual({ acceptedConnections: 1, halfOpen: 0, links: 1 });
  });
});

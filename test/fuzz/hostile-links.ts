/**
 * Whole connections at the mercy of their network and of their peer: packets that were damaged on the way never
 * disturb anything, and frames of an authenticated peer that keeps to no rule end in a CLOSE with a code of the
 * table, or in nothing, and cost a bounded amount of memory.
 */
import { ERRORS, type ErrorCode } from "../../src/base/errors.ts";
import { FRAME, writeNumbers, writeStreamHeader } from "../../src/wire/frames.ts";
import { toyPrimitives } from "../sim/primitives.ts";
import { HostileScript } from "./hostile-script.ts";
import { MaliciousPeer } from "./malicious-peer.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const WIRE_CODES: ReadonlySet<number> = new Set(
  (Object.keys(ERRORS) as ErrorCode[]).flatMap((code) => ERRORS[code].wire ?? []),
);
/** Bugs of ours are not the peer's fault, whatever it does. */
const INTERNAL: number = ERRORS.ERR_INTERNAL.wire!;
const PATHS = [
  { address: "192.0.2.1", port: 2000, socket: 0 },
  { address: "198.51.100.7", port: 1000, socket: 0 },
] as const;
const MAX_SENT_PACKETS = 20_000;
const MAX_QUEUED = 2000;
const datagram = new Uint8Array(3000);

/** Sizes of what could grow in an established connection. */
interface Insides {
  readonly recovery: {
    readonly sent: { readonly first: number; readonly next: number };
    readonly remembered: unknown[];
  };
  readonly received: { readonly ranges: { readonly count: number } };
  readonly streams: {
    readonly open: ReadonlyMap<number, unknown>;
    readonly listed: unknown[];
    readonly unpolledResets: Set<number>;
  };
  readonly datagrams: { readonly incoming: unknown[] };
  readonly link: {
    readonly parts: {
      readonly ids: { readonly toAnnounce: unknown[]; readonly toRetire: unknown[] };
      readonly paths: { readonly responses: unknown[]; readonly probes: unknown[] };
    };
  };
}

export const hostileFrames: FuzzTarget = {
  name: "hostile-frames",
  inputsPerRun: 400,
  weight: 14,
  run(random) {
    let peer = newPeer(random);
    let script = new HostileScript(random, peer);
    for (let input = 0; input < this.inputsPerRun; input++) {
      if (random.oneIn(6)) peer.acknowledge();
      if (random.oneIn(6)) peer.elapse(random.unit() * random.pick([1, 30, 2000]));
      if (random.oneIn(12)) use(random, peer);
      const path = random.oneIn(30) ? random.pick(PATHS) : peer.path;
      const number = random.oneIn(100) ? random.below(2 ** 32) : peer.nextNumber++;
      const before = peer.victim.stats.receivedPackets;
      peer.sendAs(number, (bytes, at) => script.write(bytes, at), path);
      check(peer);
      const isOpen = peer.victim.state === "established";
      if (script.hasSinned && isOpen && peer.victim.stats.receivedPackets > before)
        broken("a sin went unpunished");
      if (peer.victim.state !== "established") {
        end(peer);
        peer = newPeer(random);
        script = new HostileScript(random, peer);
      }
    }
    end(peer);
  },
};

export const damagedPackets: FuzzTarget = {
  name: "damaged-packets",
  inputsPerRun: 400,
  weight: 6,
  run(random) {
    const peer = newPeer(random);
    const { victim } = peer;
    const datagrams = recordDatagrams(peer, random);
    const before = victim.stats.receivedPackets;
    const { closeCause } = victim;
    for (let input = 0; input < this.inputsPerRun; input++) {
      const source = random.pick(datagrams);
      datagram.set(source);
      let length = source.length;
      if (random.oneIn(3)) {
        const second = random.pick(datagrams);
        datagram.set(second, length);
        length += second.length;
      }
      // Replayed as it was, cut, changed, joined, or nothing but noise.
      if (random.oneIn(8)) {
        length = random.below(1300);
        random.fill(datagram, 0, length);
      } else if (!random.oneIn(8)) length = random.mutate(datagram, length, datagram.length);
      if (random.oneIn(4) && length > 0) datagram[0] = 0xc0 | random.below(64);
      peer.sendDatagram(datagram.slice(0, length), random.oneIn(4) ? random.pick(PATHS) : peer.path);
      same(victim.state, "established", "the state");
      same(victim.stats.receivedPackets, before, "the packets that opened");
      same(victim.closeCause, closeCause, "the close cause");
      same(victim.path, peer.path, "the path");
    }
    // And it still works.
    peer.send((bytes, at) => writeNumbers(bytes, at, FRAME.ping));
    same(victim.stats.receivedPackets, before + 1, "the packets that opened");
  },
};

function newPeer(random: Xorshift): MaliciousPeer {
  return new MaliciousPeer({
    primitives: toyPrimitives,
    victimRole: random.pick(["initiator", "responder"]),
    seed: random.u32(),
    congestion: random.pick(["cubic", "bbr"]),
    victimParameters: { maxStreams: random.pick([1, 10, 1024]) },
    peerParameters: {
      maxStreams: random.pick([0, 10]),
      maxAckDelayMs: random.below(2 ** 14 + 1),
      idleTimeoutMs: random.oneIn(2) ? 0 : random.magnitude(),
      maxUdpPayloadBytes: 1200 + random.below(3000),
    },
  });
}

/** The victim's application does something. */
function use(random: Xorshift, { victim }: MaliciousPeer): void {
  const stream = victim.openStream();
  const id = stream >= 0 ? stream : random.below(8);
  switch (random.below(7)) {
    case 0:
    case 1:
      victim.write(id, new Uint8Array(random.below(20_000)));
      return;
    case 2:
      victim.finish(id);
      return;
    case 3:
      victim.reset(id, 5);
      return;
    case 4:
      victim.stopSending(id, 5);
      return;
    case 5:
      for (let reads = 0; reads < 8; reads++) if (victim.read(random.below(12)) === undefined) break;
      return;
    default:
      victim.sendDatagram(new Uint8Array(random.below(800)));
  }
}

/** Packets that the victim has taken, which make the best forgeries. */
function recordDatagrams(peer: MaliciousPeer, random: Xorshift): Uint8Array[] {
  const { victim } = peer;
  const taken: Uint8Array[] = [];
  const handle = victim.handleDatagram.bind(victim);
  victim.handleDatagram = (nowMs, path, bytes) => {
    taken.push(bytes.slice());
    handle(nowMs, path, bytes);
  };
  for (let packets = 0; packets < 6; packets++) {
    peer.send((bytes, at) => {
      const next = writeStreamHeader(
        bytes,
        at,
        1 - (victim.role === "initiator" ? 0 : 1),
        10 * packets,
        10,
        false,
        true,
      );
      return next + 10;
    });
  }
  victim.handleDatagram = handle;
  same(victim.state, "established", "the state");
  // One of another connection, and one of a handshake.
  taken.push(
    random.bytes(1200),
    Uint8Array.from(random.bytes(1200), (byte, i) => (i === 0 ? 0xd3 : byte)),
  );
  return taken;
}

function check({ victim, close }: MaliciousPeer): void {
  const { state, stats } = victim;
  if (close !== undefined && state === "established") broken("a CLOSE was sent, and the link goes on");
  if (!(stats.bytesInFlight >= 0 && stats.congestionWindowBytes > 0 && stats.pacingRate > 0)) {
    broken(
      `${stats.bytesInFlight} in flight, window ${stats.congestionWindowBytes}, rate ${stats.pacingRate}`,
    );
  }
  if (!(stats.rttMs >= 0 && stats.rttVarMs >= 0)) broken(`a round trip of ${stats.rttMs} ms`);
  const { recovery, received, streams, datagrams, link } = victim as unknown as Insides;
  const { ids, paths } = link.parts;
  const queues: readonly (readonly [string, number, number])[] = [
    ["sent packets", recovery.sent.next - recovery.sent.first, MAX_SENT_PACKETS],
    ["lost packets", recovery.remembered.length, MAX_SENT_PACKETS],
    ["ranges", received.ranges.count, 64],
    ["streams", streams.open.size, 2100],
    ["streams with control frames", streams.listed.length, 2100],
    ["resets not heard of", streams.unpolledResets.size, 0],
    ["datagrams", datagrams.incoming.length, 512],
    ["IDs to announce", ids.toAnnounce.length, MAX_QUEUED],
    ["IDs to retire", ids.toRetire.length, MAX_QUEUED],
    ["answers", paths.responses.length, 8],
    ["probes", paths.probes.length, 4],
  ];
  for (const [what, size, most] of queues) if (size > most) broken(`${size} ${what}`);
}

/** However it ended, it ended in order. */
function end(peer: MaliciousPeer): void {
  const { victim } = peer;
  if (victim.state === "established") victim.close(peer.nowMs, 0, "");
  const { closeCause } = victim;
  if (closeCause === undefined) broken("no close cause");
  if (victim.state === "closing") {
    peer.drain();
    const { isAmplificationLimited } = (
      victim as unknown as { link: { transmission: { isAmplificationLimited: boolean } } }
    ).link.transmission;
    if (peer.close === undefined && !isAmplificationLimited) broken("no CLOSE was sent");
    if (peer.close !== undefined) same(peer.close.errorCode, closeCause.errorCode, "the code of the CLOSE");
    if (closeCause.errorCode === INTERNAL) broken(`our own fault: ${closeCause.reason}`);
    if (closeCause.errorCode !== 0 && !WIRE_CODES.has(closeCause.errorCode))
      broken(`code ${closeCause.errorCode}`);
  }
  peer.elapse(10_000_000);
  same(victim.state, "closed", "the state in the end");
  same(victim.pollTimeout(), Number.POSITIVE_INFINITY, "the timer in the end");
}

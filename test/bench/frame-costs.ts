/**
 * What one packet of a malicious peer costs the connection that it is sent to: for each frame type the packet of
 * 1452 bytes that makes the most work, against a victim in the state that makes it worst.
 *
 * Timed are opening the packet, its frames, and all packets and events that follow from them. Sealing is not.
 * Each victim has made a real handshake; see `malicious-peer.ts`.
 */

import type { Path } from "../../src/base/path.ts";
import type { ConnectionEvent, Transmit } from "../../src/engine/connection/connection.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { ACK_RANGES_LIMIT, FRAME, writeNewConnectionId, writePathToken } from "../../src/wire/frames.ts";
import { HEADER_BYTES, TAG_BYTES, writeHeader } from "../../src/wire/packet.ts";
import { type FrameWrite, MaliciousPeer, PATH } from "../fuzz/malicious-peer.ts";
import { ack, numbers, stream } from "../unit/engine/malicious-frames.ts";

export interface FrameCost {
  readonly name: string;
  /** Frames in one packet. */
  readonly frames: number;
  /** Time that half of the packets took less than, µs. */
  readonly medianUs: number;
  /** Time that a tenth of the packets took less than, µs: without what other processes took. */
  readonly lowUs: number;
  /** CPU time of the process for one packet on average, garbage collection included, µs. */
  readonly meanCpuUs: number;
}

interface Case {
  readonly name: string;
  /** Packets that one victim takes before it closes the connection or has no state of this kind left. */
  readonly packetsPerVictim: number;
  readonly victim?: () => MaliciousPeer;
  /** Frame number `index` of packet number `packet`. */
  readonly frame: (packet: number, index: number) => FrameWrite;
  /** Frames in a packet, when fewer than fit. */
  readonly framesMost?: number;
  readonly path?: (packet: number) => Path;
  /** Sequence number of the connection ID that the packets carry, when it is not the first. */
  readonly toSequence?: number;
  /** Distance of one packet number to the next. */
  readonly step?: number;
}

/** Payload of a packet of 1452 bytes, which is 1500 less the headers of IPv6 and UDP. */
const ROOM_BYTES: number = 1452 - HEADER_BYTES - TAG_BYTES;
const FLIGHT_PACKETS = 8192;
/** Of so many packets of the flight one is acknowledged. */
const ACKED_SHARE = 16;
const LARGE = 2 ** 50;
const TOKEN: Uint8Array = new Uint8Array(8).fill(5);
const OTHER_PATHS: readonly Path[] = [1, 2].map((port) => ({ address: "203.0.113.7", port, socket: 0 }));

/** The packet that all others are compared with: one full STREAM frame, in order. */
export const BASELINE = "STREAM, one frame in order";

const CASES: readonly Case[] = [
  {
    name: BASELINE,
    packetsPerVictim: 300,
    framesMost: 1,
    frame: (packet) => stream(0, packet * 1400, 1400),
  },
  { name: "PADDING", packetsPerVictim: 2000, frame: () => padding },
  { name: "PING", packetsPerVictim: 2000, frame: () => numbers(FRAME.ping) },
  {
    name: "PING, every second packet number missing",
    packetsPerVictim: 2000,
    framesMost: 1,
    step: 2,
    frame: () => numbers(FRAME.ping),
  },
  {
    name: "PING, each from another path",
    packetsPerVictim: 500,
    framesMost: 1,
    path: (packet) => OTHER_PATHS[packet % 2]!,
    frame: () => numbers(FRAME.ping),
  },
  { name: "IMMEDIATE_ACK", packetsPerVictim: 2000, frame: () => numbers(FRAME.immediateAck) },
  {
    name: "ACK_FREQUENCY",
    packetsPerVictim: 2000,
    frame: (packet, index) => numbers(FRAME.ackFrequency, packet * 400 + index, 2, 25),
  },
  {
    name: "ACK of nothing new, 4096 losses remembered",
    packetsPerVictim: 1000,
    victim: sparselyAcknowledged,
    frame: (_packet, index) => oldRanges(index),
  },
  {
    name: "ACK of packets declared lost",
    packetsPerVictim: 20,
    victim: sparselyAcknowledged,
    frame: lateRanges,
  },
  {
    name: "STREAM, single bytes, a gap before each",
    packetsPerVictim: 1500,
    frame: (packet, index) =>
      stream(4 * Math.floor(packet / 5), 2 * (200 * (5 - (packet % 5)) - index) + 1, 1),
  },
  { name: "STREAM, single bytes seen before", packetsPerVictim: 2000, frame: () => stream(0, 0, 1) },
  { name: "STREAM, empty frames", packetsPerVictim: 2000, frame: () => stream(0, 0, 0) },
  {
    name: "STREAM, a new stream and slab each",
    packetsPerVictim: 1,
    framesMost: 45,
    frame: (_, index) => stream(4 * index, 16_384, 1),
  },
  {
    name: "STREAM and RESET_STREAM, a new stream and slab each",
    packetsPerVictim: 8,
    frame: (packet, index) => farAndReset(4 * (100 * packet + index)),
  },
  {
    name: "STREAM that opens 1024 streams",
    packetsPerVictim: 1,
    framesMost: 1,
    frame: () => stream(4 * 1023, 0, 1),
  },
  {
    name: "RESET_STREAM, a new stream each",
    packetsPerVictim: 3,
    frame: (packet, index) => numbers(FRAME.resetStream, 4 * (300 * packet + index), 1, 0),
  },
  {
    name: "RESET_STREAM, the same again",
    packetsPerVictim: 2000,
    frame: () => numbers(FRAME.resetStream, 0, 1, 0),
  },
  {
    name: "STOP_SENDING, a new stream each",
    packetsPerVictim: 3,
    frame: (packet, index) => numbers(FRAME.stopSending, 4 * (300 * packet + index), 1),
  },
  {
    name: "STOP_SENDING, the same again",
    packetsPerVictim: 2000,
    frame: () => numbers(FRAME.stopSending, 0, 1),
  },
  {
    name: "MAX_DATA",
    packetsPerVictim: 2000,
    frame: (packet, index) => numbers(FRAME.maxData, LARGE + packet * 400 + index),
  },
  {
    name: "MAX_STREAM_DATA, 1024 streams in turn",
    packetsPerVictim: 2000,
    victim: withAllStreams,
    frame: (packet, index) =>
      numbers(FRAME.maxStreamData, 4 * ((packet * 140 + index) % 1024), LARGE + packet),
  },
  {
    name: "MAX_STREAMS",
    packetsPerVictim: 2000,
    frame: (packet, index) => numbers(FRAME.maxStreams, 2000 + packet * 400 + index),
  },
  {
    name: "NEW_CONNECTION_ID, the same again",
    packetsPerVictim: 2000,
    frame: () => (bytes, at) => writeNewConnectionId(bytes, at, 1, new Uint8Array(8).fill(1)),
  },
  {
    name: "RETIRE_CONNECTION_ID, the same again",
    packetsPerVictim: 2000,
    toSequence: 1,
    frame: () => numbers(FRAME.retireConnectionId, 0),
  },
  {
    name: "PATH_CHALLENGE",
    packetsPerVictim: 2000,
    frame: () => (bytes, at) => writePathToken(bytes, at, FRAME.pathChallenge, TOKEN),
  },
  {
    name: "PATH_CHALLENGE, each packet from another path",
    packetsPerVictim: 500,
    path: (packet) => OTHER_PATHS[packet % 2]!,
    frame: () => (bytes, at) => writePathToken(bytes, at, FRAME.pathChallenge, TOKEN),
  },
  {
    name: "PATH_RESPONSE, four paths on trial",
    packetsPerVictim: 2000,
    victim: probing,
    frame: () => (bytes, at) => writePathToken(bytes, at, FRAME.pathResponse, TOKEN),
  },
  {
    name: "DATAGRAM, empty",
    packetsPerVictim: 2000,
    frame: () => (bytes, at) => writeEmptyDatagram(bytes, at),
  },
  { name: "REKEY, an old epoch", packetsPerVictim: 2000, frame: () => oldRekey },
];

export function frameCaseNames(): string[] {
  return CASES.map(({ name }) => name);
}

/** Measures the packets of one case for at least `budgetMs`, on as many victims as that takes. */
export function measureFrames(name: string, budgetMs: number): FrameCost {
  const one = CASES.find((each) => each.name === name)!;
  const tookUs: number[] = [];
  let frames = 0;
  let cpuUs = 0;
  const endMs = performance.now() + budgetMs;
  do {
    const peer = one.victim?.() ?? newVictim();
    const packets = Array.from({ length: one.packetsPerVictim }, (_, packet) => {
      const sealed = sealedPacket(peer, one, packet);
      frames = sealed.frames;
      return sealed.bytes;
    });
    const cpuBefore = process.cpuUsage();
    for (const [index, bytes] of packets.entries()) {
      const path = one.path?.(index) ?? PATH;
      const startMs = performance.now();
      peer.victim.handleDatagram(peer.nowMs, path, bytes);
      drain(peer);
      tookUs.push(1000 * (performance.now() - startMs));
    }
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuUs += user + system;
    if (peer.victim.state !== "established")
      throw new Error(`${name}: the connection was closed: ${peer.victim.closeCause?.reason}`);
  } while (performance.now() < endMs || tookUs.length < 60);
  tookUs.sort((a, b) => a - b);
  return {
    name,
    frames,
    medianUs: tookUs[Math.floor(tookUs.length / 2)]!,
    lowUs: tookUs[Math.floor(tookUs.length / 10)]!,
    meanCpuUs: cpuUs / tookUs.length,
  };
}

const transmit: Transmit = { buffer: new Uint8Array(64 * 1500), length: 0, segmentBytes: 0, path: PATH };
const event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };

function drain({ victim, nowMs }: MaliciousPeer): void {
  while (victim.pollTransmit(nowMs, transmit));
  victim.pollTimeout();
  while (victim.pollEvent(event));
}

function newVictim(): MaliciousPeer {
  const peer = new MaliciousPeer({
    primitives: nodePrimitives,
    victimRole: "responder",
    peerParameters: { maxDataBytes: LARGE, maxStreamDataBytes: LARGE },
  });
  // It is acknowledged, so that it does not close the connection because nothing is.
  peer.acknowledge();
  return peer;
}

function sealedPacket(peer: MaliciousPeer, one: Case, packet: number): { bytes: Uint8Array; frames: number } {
  const bytes = new Uint8Array(HEADER_BYTES + ROOM_BYTES + 2000);
  let end = HEADER_BYTES;
  let frames = 0;
  while (frames < (one.framesMost ?? Number.POSITIVE_INFINITY)) {
    const next = one.frame(packet, frames)(bytes, end);
    if (next > HEADER_BYTES + ROOM_BYTES) break;
    end = next;
    frames++;
  }
  const packetNumber = peer.nextNumber;
  peer.nextNumber += one.step ?? 1;
  writeHeader(
    bytes,
    0,
    peer.keys.epoch,
    peer.ids.get(one.toSequence ?? 0)!,
    packetNumber,
    end - HEADER_BYTES + TAG_BYTES,
  );
  peer.keys.sealKey.seal(bytes, 0, HEADER_BYTES, end, packetNumber);
  return { bytes: bytes.slice(0, end + TAG_BYTES), frames };
}

/** A victim that has sent a flight of 8192 packets, of which one in 16 was acknowledged: the others count as lost. */
function sparselyAcknowledged(): MaliciousPeer {
  const peer = newVictim();
  const id = peer.victim.openStream();
  const chunk = new Uint8Array(65_536);
  const largest = (): number => peer.received.end(peer.received.count - 1) - 1;
  for (;;) {
    const before = largest();
    while (peer.victim.bufferedBytes.sending < 2 * FLIGHT_PACKETS * 1200) peer.victim.write(id, chunk);
    // Time enough for all that the window allows.
    for (let round = 0; round < 200; round++) peer.elapse(1);
    if (largest() - before > FLIGHT_PACKETS) break;
    peer.acknowledge();
  }
  flight = [];
  for (let number = largest(); flight.length < FLIGHT_PACKETS; number--)
    if (peer.received.contains(number)) flight.push(number);
  for (let index = 0; index < 128 / ACKED_SHARE; index++) peer.send(oldRanges(index));
  return peer;
}

/** Numbers of the packets in the last flight of the victim, the newest first; some are left out on purpose. */
let flight: number[] = [];

/** Packets of the flight that are acknowledged first, spread over all of it: the others count as lost. */
function oldRanges(index: number): FrameWrite {
  return ack(...rangesFrom(ACKED_SHARE * (index % (128 / ACKED_SHARE))));
}

/** Packets that were declared lost; the first range was acknowledged before. */
function lateRanges(packet: number, index: number): FrameWrite {
  const from = (1 + (packet % (ACKED_SHARE - 1)) + ACKED_SHARE * index) % 128;
  return ack(...rangesFrom(0).slice(0, 1), ...rangesFrom(from).slice(1));
}

function rangesFrom(first: number): [number, number][] {
  const step = FLIGHT_PACKETS / ACK_RANGES_LIMIT;
  return Array.from({ length: ACK_RANGES_LIMIT }, (_, i) => {
    const number = flight[first + i * step]!;
    return [number, number];
  });
}

function withAllStreams(): MaliciousPeer {
  const peer = newVictim();
  peer.send(stream(4 * 1023, 0, 1));
  return peer;
}

function probing(): MaliciousPeer {
  const peer = newVictim();
  for (let port = 1; port <= 4; port++)
    peer.victim.probePath(peer.nowMs, { address: "203.0.113.9", port, socket: 0 });
  return peer;
}

const padding: FrameWrite = (bytes, at) => {
  bytes[at] = FRAME.padding;
  return at + 1;
};

const oldRekey: FrameWrite = (bytes, at) => {
  const next = numbers(FRAME.rekey, 0, 1, 48)(bytes, at);
  return next + 48;
};

function writeEmptyDatagram(bytes: Uint8Array, at: number): number {
  bytes[at] = FRAME.datagram | 1;
  bytes[at + 1] = 0;
  return at + 2;
}

function farAndReset(id: number): FrameWrite {
  return (bytes, at) => numbers(FRAME.resetStream, id, 1, 16_385)(bytes, stream(id, 16_384, 1)(bytes, at));
}

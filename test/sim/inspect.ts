/**
 * The one place where the simulator looks inside an engine: what the invariants need to see and the public
 * getters do not show. When the engine's insides move, only this file follows.
 */

import type { Connection } from "../../src/engine/connection/connection.ts";
import { PACKET } from "../../src/engine/recovery/sent-packets.ts";

/** Shapes of the engine's private parts, as far as they are read. */
interface Insides {
  recovery: {
    bytesInFlight: number;
    probesWanted: number;
    timeoutAt: number;
    ackElicitingInFlight: number;
    remembered: { count: number };
    controller: { congestionWindowBytes: number; pacingRate: number };
    sent: {
      first: number;
      next: number;
      state: Uint8Array;
      bytes: Uint16Array;
      slot: (packetNumber: number) => number;
      nextRecord: number;
      oldestRecord: number;
    };
  };
  received: { ranges: { count: number }; dueAtMs: number };
  streams: {
    flow: { maxBytes: number; readBytes: number; receivedBytes: number; windowBytes: number };
    open: Map<number, { receive: { maxBytes: number; bufferedBytes: number; readBytes: number } }>;
  };
  datagrams: { outgoing: unknown[]; incoming: unknown[] };
  early: unknown[];
  link?: {
    parts: { paths: { challenge?: { wanted: boolean }; responses: unknown[]; allowanceBytes: number } };
  };
}

function insides(connection: Connection): Insides {
  return connection as unknown as Insides;
}

/** What a transmission may do to the bytes in flight. */
export interface FlightView {
  bytesInFlight: number;
  congestionWindowBytes: number;
  /** Packets that may leave regardless of the window: probes, and challenges and answers of paths. */
  exempt: number;
}

/** Fills `into`; made for every transmission, so it makes no object. */
export function viewFlight(connection: Connection, into: FlightView): void {
  const { recovery, link } = insides(connection);
  into.bytesInFlight = recovery.bytesInFlight;
  into.congestionWindowBytes = recovery.controller.congestionWindowBytes;
  const paths = link?.parts.paths;
  const isChallenging = paths?.challenge?.wanted === true;
  into.exempt = recovery.probesWanted + (paths?.responses.length ?? 0) + (isChallenging ? 1 : 0);
}

/**
 * When recovery must be woken; Infinity where an unproven path lets nothing out, as a timer could not do
 * anything then.  // RFC 9002 §6.2.2.1
 */
export function recoveryTimeoutAt(connection: Connection): number {
  const { recovery, link } = insides(connection);
  const allowanceBytes = link?.parts.paths.allowanceBytes ?? Number.POSITIVE_INFINITY;
  return allowanceBytes < 1200 ? Number.POSITIVE_INFINITY : recovery.timeoutAt;
}

/** The bytes in flight counted again, packet by packet. */
export function countFlight(connection: Connection): { bytes: number; packets: number; packetsKept: number } {
  const { sent, ackElicitingInFlight } = insides(connection).recovery;
  let bytes = 0;
  let packets = 0;
  for (let packetNumber = sent.first; packetNumber < sent.next; packetNumber++) {
    const slot = sent.slot(packetNumber);
    if (sent.state[slot] !== PACKET.inFlight) continue;
    bytes += sent.bytes[slot]!;
    packets++;
  }
  return { bytes, packets, packetsKept: ackElicitingInFlight };
}

/** Sizes of everything that could grow. */
export interface BufferSizes {
  sendingBytes: number;
  receivingBytes: number;
  receiveWindowBytes: number;
  sentPackets: number;
  frameRecords: number;
  rememberedLost: number;
  ackRanges: number;
  streams: number;
  outgoingDatagrams: number;
  incomingDatagrams: number;
  earlyPackets: number;
}

export function bufferSizes(connection: Connection): BufferSizes {
  const { recovery, received, streams, datagrams, early } = insides(connection);
  const { sending, receiving } = connection.bufferedBytes;
  return {
    sendingBytes: sending,
    receivingBytes: receiving,
    receiveWindowBytes: streams.flow.maxBytes - streams.flow.readBytes,
    sentPackets: recovery.sent.next - recovery.sent.first,
    frameRecords: recovery.sent.nextRecord - recovery.sent.oldestRecord,
    rememberedLost: recovery.remembered.count,
    ackRanges: received.ranges.count,
    streams: streams.open.size,
    outgoingDatagrams: datagrams.outgoing.length,
    incomingDatagrams: datagrams.incoming.length,
    earlyPackets: early.length,
  };
}

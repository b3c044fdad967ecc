/**
 * Builds outgoing packets: selects their frames, decides when they may leave, and records what they
 * contain.
 *
 * Order inside a packet: ACK, path frames, control, datagrams, streams. Congestion window and pacer
 * hold back everything except ACKs and probes. All packets of one call except the last have equal
 * length, so that one system call can send them.
 */
import { DATAGRAM_FLOOR_BYTES, type Path } from "../../base/path.ts";
import {
  CONTROL_FRAME_BYTES,
  FRAME,
  writeAck,
  writeClose,
  writeDatagramHeader,
  writeNewConnectionId,
  writeNumbers,
  writePathToken,
} from "../../wire/frames.ts";
import {
  HEADER_BYTES,
  PACKET_NUMBER_LIMIT,
  PACKET_OVERHEAD_BYTES,
  TAG_BYTES,
  writeHeader,
} from "../../wire/packet.ts";
import { Pacer } from "../congestion/pacer.ts";
import { type KeyUpdate, REKEY_FRAME_BYTES } from "../handshake/key-update.ts";
import { MtuDiscovery } from "../path/mtu-discovery.ts";
import type { PathControl } from "../path/path-control.ts";
import type { Activity } from "../path/path-life.ts";
import type { ReceivedPackets } from "../recovery/received-packets.ts";
import type { Recovery } from "../recovery/recovery.ts";
import { RECORD, SENT } from "../recovery/sent-packets.ts";
import type { Streams } from "../streams/streams.ts";
import type { ConnectionIds } from "./connection-ids.ts";
import type { Datagrams } from "./datagrams.ts";
import type { LinkParts } from "./link-parts.ts";
import type { Tracer } from "./tracer.ts";

/**
 * Number of packets between two packet numbers that are skipped on purpose: the minimum, and the
 * range above it.
 */
const MIN_SKIP_PACKETS = 256;
const SKIP_SPREAD_PACKETS = 1024;
/** A remainder of up to this size is padded, so that the packets of a burst have equal length. */
const PADDED_BYTES = 32;
/** Maximum number of datagrams in one system call.  // UDP_MAX_SEGMENTS of Linux */
const MAX_BURST_PACKETS = 64;
/** Window, in packets, below which every second packet is acknowledged. */
const ACK_FREQUENCY_FROM_PACKETS = 16;

/** Maximum number of sent packets that are recorded at once: far more than the largest window. */
const REMEMBERED_PACKETS = 65_536;
/** Packet numbers reserved for the last burst and the CLOSE packets after it. */
const CLOSING_RESERVE_PACKETS = 4096;
/**
 * Consecutive probe timeouts after which probes are small, because the path may no longer carry
 * large packets.
 */
const SMALL_PROBES_FROM_PTO = 2;
/** With less allowance than this, nothing is sent on an unvalidated path. */
const SMALLEST_PACKET_BYTES = 80;

export class Transmission {
  sentPackets = 0;
  sentBytes = 0;
  /** When the pacer releases the next burst; Infinity if it delays nothing. */
  pacedUntilMs: number = Number.POSITIVE_INFINITY;
  lastElicitingAtMs: number;
  /** Size of the datagrams on the present path. */
  datagramBytes: number = DATAGRAM_FLOOR_BYTES;
  /** Largest payload of a DATAGRAM frame that the peer accepts. */
  peerMaxDatagramBytes: number = Number.POSITIVE_INFINITY;
  /** Send an ack-eliciting packet, with a PING if there is nothing else to send. */
  pingWanted = false;

  private readonly recovery: Recovery;
  private readonly received: ReceivedPackets;
  private readonly streams: Streams;
  private readonly datagrams: Datagrams;
  private readonly keys: KeyUpdate;
  private readonly ids: ConnectionIds;
  private readonly paths: PathControl;
  private readonly activity: Activity;
  private readonly tracer: Tracer | undefined;
  private mtu: MtuDiscovery;
  private readonly mtuCeilingOf: (path: Path) => number;
  private readonly random: (byteLength: number) => Uint8Array;
  private readonly pacer: Pacer = new Pacer();
  private skipAt: number;
  private ackFrequencyRequest = 0;
  private ackEveryPackets = 2;

  constructor(
    nowMs: number,
    parts: LinkParts,
    mtuCeilingOf: (path: Path) => number,
    random: (byteLength: number) => Uint8Array,
  ) {
    this.lastElicitingAtMs = nowMs;
    this.recovery = parts.recovery;
    this.received = parts.received;
    this.streams = parts.streams;
    this.datagrams = parts.datagrams;
    this.keys = parts.keys;
    this.ids = parts.ids;
    this.paths = parts.paths;
    this.activity = parts.activity;
    this.tracer = parts.tracer;
    this.mtuCeilingOf = mtuCeilingOf;
    this.mtu = new MtuDiscovery(nowMs, mtuCeilingOf(parts.paths.active));
    this.random = random;
    this.skipAt = this.recovery.sent.next + this.skipDistance();
  }

  /**
   * Whether the allowance of an unvalidated path is used up: nothing may be sent until more arrives
   * from it, so no timer is armed.  // RFC 9002 §A.8
   */
  get isAmplificationLimited(): boolean {
    return this.paths.allowanceBytes < SMALLEST_PACKET_BYTES;
  }

  /**
   * Whether packet numbers or the keys' usage limit are nearly exhausted, so that the link must be
   * closed.
   */
  get isExhausted(): boolean {
    return this.recovery.sent.next >= PACKET_NUMBER_LIMIT - CLOSING_RESERVE_PACKETS || this.keys.isExhausted;
  }

  /** Whether the peer acknowledges too little. The memory for sent packets is limited. */
  get tooManyUnacked(): boolean {
    const { sent } = this.recovery;
    return sent.next - sent.first > REMEMBERED_PACKETS;
  }

  /** Largest payload of a DATAGRAM frame that fits into one packet and that the peer accepts. */
  get maxDatagramBytes(): number {
    // Type, length (2 bytes for any length that fits), and no room for another frame.
    return Math.min(this.datagramBytes - PACKET_OVERHEAD_BYTES - 3, this.peerMaxDatagramBytes);
  }

  /** Length of the datagrams that fill() wrote, all but the last. */
  segmentBytes = 0;

  /**
   * Fills `bytes` with packets to send now on the active path, all of the same length except the
   * last. Returns the number of bytes.
   */
  fill(nowMs: number, bytes: Uint8Array): number {
    this.pacer.fill(nowMs, this.recovery.controller.pacingRate, this.datagramBytes);
    this.pacedUntilMs = Number.POSITIVE_INFINITY;
    if (this.keys.isDue(nowMs)) this.keys.request();
    const probe = this.buildMtuProbe(nowMs, bytes);
    if (probe > 0) {
      this.segmentBytes = probe;
      return probe;
    }
    const size = this.datagramBytes;
    const most = Math.min(MAX_BURST_PACKETS, Math.floor(bytes.length / size));
    let at = 0;
    for (let packets = 0; packets < most; packets++) {
      const length = this.buildPacket(nowMs, bytes, at, size);
      at += length;
      if (length < size) break;
    }
    this.segmentBytes = Math.min(at, size);
    if (this.tracer !== undefined && at > 0) this.tracer.metricsUpdated(nowMs, this.recovery);
    return at;
  }

  /** Writes a packet for a path other than the active one; undefined if there is none to send. */
  fillOther(nowMs: number, bytes: Uint8Array): { path: Path; length: number } | undefined {
    const other = this.paths.takeOther();
    if (other === undefined) return undefined;
    this.recovery.sent.push();
    const type = other.isResponse ? FRAME.pathResponse : FRAME.pathChallenge;
    let end = writePathToken(bytes, HEADER_BYTES, type, other.token);
    // A challenge also checks that the path carries the datagram floor; a response stays small.
    if (!other.isResponse) end = pad(bytes, end, DATAGRAM_FLOOR_BYTES - TAG_BYTES);
    const length = this.seal(nowMs, bytes, 0, end, 0);
    this.recovery.onSent(nowMs, length, 0);
    return { path: other.path, length };
  }

  /** Writes one packet with a CLOSE frame, outside congestion control. Returns its length. */
  writeClosePacket(nowMs: number, bytes: Uint8Array, errorCode: number, reason: Uint8Array): number {
    // On an unvalidated path the reason is truncated to fit the allowance.
    const room = Math.max(0, this.paths.allowanceBytes - PACKET_OVERHEAD_BYTES - CONTROL_FRAME_BYTES);
    const end = writeClose(bytes, HEADER_BYTES, errorCode, reason.subarray(0, room));
    this.recovery.sent.push();
    const length = this.seal(nowMs, bytes, 0, end, 0);
    this.paths.onSent(length);
    return length;
  }

  /**
   * When the next larger datagram is probed. Infinity while the window is full: an ACK must first
   * make room.
   */
  get mtuProbeAtMs(): number {
    const { mtu } = this;
    if (!this.isMtuProbeAllowed || !this.fitsWindow(mtu.probeBytes)) return Number.POSITIVE_INFINITY;
    return this.pacer.isOpen ? mtu.probeAtMs : Math.max(mtu.probeAtMs, this.pacer.opensAtMs);
  }

  /** Applies the size-related acknowledgements and losses that recovery has collected. */
  updateMtu(nowMs: number): void {
    const { recovery, mtu } = this;
    const rttMs = recovery.rtt.smoothedMs;
    if (recovery.ackedMtuProbeBytes > 0) mtu.onProbeAcked(nowMs, recovery.ackedMtuProbeBytes);
    if (recovery.lostMtuProbeBytes > 0) mtu.onProbeLost(nowMs, recovery.lostMtuProbeBytes, rttMs);
    // If some large packets arrive, losses are due to load. If none arrive, they are due to size.
    if (recovery.largeAcked > 0) mtu.onLargeAcked();
    else if (recovery.largeLost > 0) mtu.onLargeLost(nowMs, recovery.largeLost, rttMs);
    recovery.ackedMtuProbeBytes = 0;
    recovery.lostMtuProbeBytes = 0;
    recovery.largeAcked = 0;
    recovery.largeLost = 0;
    this.setDatagramBytes(nowMs, mtu.currentBytes);
  }

  /** The link uses a new path: its MTU is unknown. */
  resetMtu(nowMs: number): void {
    this.mtu = new MtuDiscovery(nowMs, this.mtuCeilingOf(this.paths.active));
    this.setDatagramBytes(nowMs, this.mtu.currentBytes);
  }

  private setDatagramBytes(nowMs: number, bytes: number): void {
    if (bytes === this.datagramBytes) return;
    if (this.tracer !== undefined) this.tracer.mtuUpdated(nowMs, this.datagramBytes, bytes);
    this.datagramBytes = bytes;
    this.recovery.controller.onDatagramBytes(bytes);
  }

  private get isMtuProbeAllowed(): boolean {
    return this.paths.isValidated && this.recovery.rtt.hasSample && this.recovery.ptoCount === 0;
  }

  /** Writes a packet with only PING and padding, larger than any before.  // RFC 8899 §4.1 */
  private buildMtuProbe(nowMs: number, bytes: Uint8Array): number {
    if (!this.isMtuProbeAllowed || nowMs < this.mtu.probeAtMs) return 0;
    const size = this.mtu.probeBytes;
    if (size > bytes.length || !this.isWindowFree(size)) return 0;
    const { recovery } = this;
    recovery.sent.push();
    bytes[HEADER_BYTES] = FRAME.ping;
    const flags = SENT.ackEliciting | SENT.mtuProbe;
    const length = this.seal(nowMs, bytes, 0, pad(bytes, HEADER_BYTES + 1, size - TAG_BYTES), flags);
    this.mtu.onProbeSent(length);
    recovery.onSent(nowMs, length, flags);
    this.pacer.onSent(length);
    return length;
  }

  private buildPacket(nowMs: number, bytes: Uint8Array, at: number, datagramBytes: number): number {
    const { recovery, received, streams, paths } = this;
    const isProbe = recovery.probesWanted > 0;
    const mayBeSmall = isProbe && recovery.ptoCount >= SMALL_PROBES_FROM_PTO;
    const size = Math.min(mayBeSmall ? DATAGRAM_FLOOR_BYTES : datagramBytes, paths.allowanceBytes);
    if (size < SMALLEST_PACKET_BYTES) return 0;
    const wantsWindow = isProbe || this.hasWork();
    let mayFill = wantsWindow;
    if (wantsWindow && !isProbe) {
      if (recovery.bytesInFlight + size > recovery.controller.congestionWindowBytes) mayFill = false;
      else if (!this.pacer.isOpen) {
        mayFill = false;
        this.pacedUntilMs = this.pacer.opensAtMs;
      }
    } else if (!wantsWindow && this.isWindowFree(size)) recovery.markAppLimited();
    // Path validation ignores the window, because everything else waits for it.
    if (!mayFill && !received.isDue(nowMs) && !paths.hasFrame) return 0;

    const { sent } = recovery;
    if (sent.next >= this.skipAt) {
      recovery.skipNumber();
      this.skipAt = sent.next + this.skipDistance();
    }
    sent.push();
    const from = at + HEADER_BYTES;
    const end = at + size - TAG_BYTES;
    let next = from;
    if (received.isOwed) {
      next = writeAck(bytes, next, end, received.ranges, received.delaySince(nowMs));
      sent.record(RECORD.ack, undefined, received.largest, 0);
    }
    const before = next;
    const validatesPath = paths.hasFrame;
    if (validatesPath) next = this.writePathFrames(bytes, next, end);
    if (mayFill) {
      if (isProbe && !this.hasWork() && !recovery.resendOldest()) this.pingWanted = true;
      next = this.writeControl(bytes, next, end);
      next = streams.writeControl(bytes, next, end, sent);
      const beforeData = next;
      next = this.writeDatagrams(bytes, next, end);
      next = streams.writeStreams(bytes, next, end, sent, recovery.controller.pacingRate);
      if (next > beforeData) this.activity.record(nowMs);
      if (next === before && (this.pingWanted || isProbe)) bytes[next++] = FRAME.ping;
    }
    if (next === from) {
      sent.pop();
      return 0;
    }
    const flags = next > before ? SENT.ackEliciting : 0;
    if (received.isOwed) received.onAckSent();
    // A path challenge also checks that the path carries the datagram floor.  // RFC 9000 §8.2.1
    if (validatesPath) next = pad(bytes, next, at + Math.min(size, DATAGRAM_FLOOR_BYTES) - TAG_BYTES);
    else if (flags !== 0 && end - next <= PADDED_BYTES) next = pad(bytes, next, end);
    const length = this.seal(nowMs, bytes, at, next, isProbe ? flags | SENT.probe : flags);
    recovery.onSent(nowMs, length, flags);
    paths.onSent(length);
    if (flags !== 0) {
      this.pingWanted = false;
      this.lastElicitingAtMs = nowMs;
      this.pacer.onSent(length);
      if (isProbe) recovery.probesWanted--;
    }
    return length;
  }

  /** Whether anything ack-eliciting is queued. */
  private hasWork(): boolean {
    return (
      this.pingWanted ||
      this.streams.hasControlWork ||
      this.keys.hasFrame ||
      this.ids.hasFrame ||
      this.datagrams.next !== undefined ||
      this.streams.hasStreamWork
    );
  }

  private writePathFrames(bytes: Uint8Array, at: number, end: number): number {
    while (end - at >= CONTROL_FRAME_BYTES) {
      const frame = this.paths.takeActive();
      if (frame === undefined) break;
      at = writePathToken(
        bytes,
        at,
        frame.isResponse ? FRAME.pathResponse : FRAME.pathChallenge,
        frame.token,
      );
    }
    return at;
  }

  private isWindowFree(byteLength: number): boolean {
    return this.fitsWindow(byteLength) && this.pacer.isOpen;
  }

  private fitsWindow(byteLength: number): boolean {
    const { recovery } = this;
    return recovery.bytesInFlight + byteLength <= recovery.controller.congestionWindowBytes;
  }

  /** Writes frames for key update, connection IDs and ACK frequency. */
  private writeControl(bytes: Uint8Array, at: number, end: number): number {
    const { keys, ids } = this;
    const { sent } = this.recovery;
    if (keys.hasFrame && end - at >= REKEY_FRAME_BYTES) {
      at = keys.writeFrame(bytes, at);
      sent.record(RECORD.rekey, undefined, 0, keys.recordValue);
    }
    while (ids.hasFrame && end - at >= CONTROL_FRAME_BYTES) {
      const announced = ids.nextToAnnounce;
      if (announced !== undefined) {
        at = writeNewConnectionId(bytes, at, announced.sequence, announced.id);
        sent.record(RECORD.newConnectionId, undefined, 0, announced.sequence);
        ids.onAnnounced();
      } else {
        at = writeNumbers(bytes, at, FRAME.retireConnectionId, ids.nextToRetire);
        sent.record(RECORD.retireConnectionId, undefined, 0, ids.nextToRetire);
        ids.onRetired();
      }
    }
    return this.writeAckFrequency(bytes, at, end);
  }

  /**
   * Requests fewer acknowledgements from the peer when the window is large.
   * // docs/protocol.md, "Acknowledgements"
   */
  private writeAckFrequency(bytes: Uint8Array, at: number, end: number): number {
    const { recovery } = this;
    if (!recovery.rtt.hasSample || end - at < CONTROL_FRAME_BYTES) return at;
    const windowPackets = recovery.controller.congestionWindowBytes / this.datagramBytes;
    const wanted =
      windowPackets < ACK_FREQUENCY_FROM_PACKETS ? 2 : Math.floor(Math.min(windowPackets / 4, 256));
    if (wanted < 2 * this.ackEveryPackets && 2 * wanted > this.ackEveryPackets) return at;
    this.ackEveryPackets = wanted;
    const delayMs = Math.max(
      1,
      Math.min(recovery.peerMaxAckDelayMs, Math.floor(recovery.rtt.smoothedMs / 4)),
    );
    const next = writeNumbers(bytes, at, FRAME.ackFrequency, this.ackFrequencyRequest++, wanted, delayMs);
    recovery.sent.record(RECORD.control, undefined, FRAME.ackFrequency, 0);
    return next;
  }

  /** An ACK_FREQUENCY frame was lost: request again with the next packet. */
  repeatAckFrequency(): void {
    this.ackEveryPackets = 0;
  }

  private writeDatagrams(bytes: Uint8Array, at: number, end: number): number {
    const { datagrams } = this;
    for (let payload = datagrams.next; payload !== undefined; payload = datagrams.next) {
      if (payload.length > this.maxDatagramBytes) {
        // The path's datagram size shrank since it was queued, so it can never be sent.
        datagrams.takeNext();
        continue;
      }
      if (payload.length + 3 > end - at) break;
      const payloadAt = writeDatagramHeader(bytes, at, payload.length);
      bytes.set(payload, payloadAt);
      at = payloadAt + payload.length;
      datagrams.takeNext();
      this.recovery.sent.record(RECORD.datagram, undefined, 0, payload.length);
    }
    return at;
  }

  /**
   * Puts the header before the frames in bytes[at + header, end), seals them, and counts the
   * packet.
   */
  private seal(nowMs: number, bytes: Uint8Array, at: number, end: number, flags: number): number {
    const packetNumber = this.recovery.sent.next - 1;
    if (packetNumber >= PACKET_NUMBER_LIMIT) throw new RangeError("packet numbers are used up");
    const from = at + HEADER_BYTES;
    if (this.tracer !== undefined) {
      this.tracer.packetSent(nowMs, packetNumber, this.keys.epoch, flags, bytes, from, end);
    }
    writeHeader(bytes, at, this.keys.epoch, this.ids.peerId, packetNumber, end - from + TAG_BYTES);
    this.keys.countSealed();
    this.keys.sealKey.seal(bytes, at, from, end, packetNumber);
    const length = end + TAG_BYTES - at;
    this.sentPackets++;
    this.sentBytes += length;
    return length;
  }

  private skipDistance(): number {
    const [high = 0, low = 0] = this.random(2);
    return MIN_SKIP_PACKETS + (((high << 8) | low) % SKIP_SPREAD_PACKETS);
  }
}

/** Fills bytes[at, end) with PADDING; returns the index after it. */
function pad(bytes: Uint8Array, at: number, end: number): number {
  if (end <= at) return at;
  bytes.fill(FRAME.padding, at, end);
  return end;
}

/**
 * The streams of a connection: limits on open streams, handling of stream frames, and scheduling.
 * // RFC 9000 §2, §3, §4
 *
 * All streams are bidirectional; the initiator's have even IDs 0, 4, 8 …, the responder's 1, 5, 9
 * …. A peer's violation throws a SrudpError, which closes the connection with its wire code.
 */
import { SrudpError } from "../../base/errors.ts";
import { CONTROL_FRAME_BYTES, FRAME, type FrameCursor, writeNumbers } from "../../wire/frames.ts";
import { EVENT, type EventQueue } from "../connection/events.ts";
import type { TransportParameters } from "../connection/transport-parameters.ts";
import { RECORD, type SentPackets } from "../recovery/sent-packets.ts";
import { FlowControl } from "./flow-control.ts";
import { RECEIVE, ReceiveStream } from "./receive-stream.ts";
import { SEND, SendStream } from "./send-stream.ts";
import { SlabPool } from "./slab-pool.ts";

/**
 * Limits of unsent bytes above which write() returns false: on one stream; on one stream while all
 * together exceed the third limit. That state ends below half of the third limit.
 */
const WRITE_HIGH_BYTES = 512 * 1024;
const WRITE_HIGH_CROWDED_BYTES = 4 * 1024;
const WRITE_HIGH_ALL_BYTES: number = 8 * 1024 * 1024;
/**
 * How much a stream may send before the next has its turn: enough that all streams have a turn
 * within this time, but at least a packet. Longer turns save both sides work at each change of
 * streams; shorter turns let a stream with little data be served sooner.
 */
const ROUND_MS = 10;
const MAX_TURN_BYTES = 65_536;
/**
 * Bytes of all streams together that may be sent and unacknowledged, independent of the peer's
 * limit.
 */
const UNACKED_ALL_MAX_BYTES: number = 64 * 1024 * 1024;
/** Priorities: control before everything else. */
export const PRIORITY = { control: 0, normal: 1, bulk: 2 } as const;
const PRIORITIES = 3;

class Stream {
  readonly id: number;
  readonly send: SendStream;
  readonly receive: ReceiveStream;
  readonly isLocal: boolean;
  resetPending = false;
  stopPending = false;
  stopCode = 0;
  creditPending = false;
  /** In the list of streams with control frames to send. */
  isListed = false;

  constructor(id: number, isLocal: boolean, send: SendStream, receive: ReceiveStream) {
    this.id = id;
    this.isLocal = isLocal;
    this.send = send;
    this.receive = receive;
  }
}

export class Streams {
  readonly flow: FlowControl;
  retransmittedBytes = 0;
  /**
   * Time and smoothed round trip of the current input: set by the connection, used to tune windows.
   */
  nowMs = 0;
  rttMs = 0;
  private readonly events: EventQueue;
  private readonly local: TransportParameters;
  private peer: TransportParameters | undefined;
  private parity = 0;
  private readonly open: Map<number, Stream> = new Map();
  /** Cache: most frames belong to the same stream as the frame before. */
  private latest: Stream | undefined;
  private localOpened = 0;
  private localLimit = 0;
  private isOpenerBlocked = false;
  private remoteOpened = 0;
  private remoteLimit: number;
  private remoteClosed = 0;
  private isStreamsUpdateWanted = false;
  /** Unsent bytes of all streams, and whether they exceed the limit. */
  private unsentBytes = 0;
  private isCrowded = false;
  /** Sent bytes of all streams that are kept because they are not acknowledged. */
  private unackedBytes = 0;
  /** Streams with data to send, by priority, in the order of their turns. */
  private readonly ready: SendStream[][] = Array.from({ length: PRIORITIES }, () => []);
  /** Streams with control frames to send. */
  private readonly listed: Stream[] = [];
  /** Streams that the peer reset and whose event was not polled yet: they did not end cleanly. */
  private readonly unpolledResets: Set<number> = new Set();
  private readonly slabs: SlabPool = new SlabPool();

  constructor(events: EventQueue, local: TransportParameters) {
    this.events = events;
    this.local = local;
    this.flow = new FlowControl(local.maxDataBytes);
    this.remoteLimit = local.maxStreams;
  }

  /** The handshake is done: the peer's limits apply from here on. */
  start(isInitiator: boolean, peer: TransportParameters): void {
    this.parity = isInitiator ? 0 : 1;
    this.peer = peer;
    this.flow.peerMaxBytes = peer.maxDataBytes;
    this.localLimit = peer.maxStreams;
  }

  get openCount(): number {
    return this.open.size;
  }

  /** Bytes held for the application and for the peer, all streams together. */
  get bufferedBytes(): { sending: number; receiving: number } {
    let sending = 0;
    let receiving = 0;
    for (const stream of this.open.values()) {
      sending += stream.send.bufferedBytes;
      receiving += stream.receive.bufferedBytes;
    }
    return { sending, receiving };
  }

  // ------------------------------------------------------------------ commands of the application

  /** Opens a stream; −1 if the peer allows no more at present (an event reports when it does). */
  openStream(priority: number): number {
    if (this.peer === undefined || this.localOpened >= this.localLimit) {
      this.isOpenerBlocked = true;
      return -1;
    }
    const id = 4 * this.localOpened++ + this.parity;
    this.add(id, true, priority);
    return id;
  }

  write(id: number, bytes: Uint8Array): boolean {
    const stream = this.open.get(id);
    // Data written to a stream that was reset is discarded.
    if (stream === undefined || !stream.send.isOpen) return true;
    stream.send.write(bytes);
    this.queue(stream.send);
    this.unsentBytes += bytes.length;
    if (this.unsentBytes > WRITE_HIGH_ALL_BYTES) this.isCrowded = true;
    if (stream.send.unsentBytes <= this.writeHighBytes) return true;
    stream.send.isWriterBlocked = true;
    return false;
  }

  finish(id: number): void {
    const stream = this.open.get(id);
    if (stream === undefined) return;
    stream.send.finish();
    this.queue(stream.send);
  }

  reset(id: number, errorCode: number): void {
    const stream = this.open.get(id);
    if (stream === undefined || stream.send.state >= SEND.resetQueued) return;
    stream.send.isWriterBlocked = false;
    this.onTaken(stream.send.unsentBytes);
    this.unackedBytes -= stream.send.sentBytes - stream.send.ackedBytes;
    stream.send.reset(errorCode);
    stream.resetPending = true;
    this.list(stream);
  }

  /**
   * Abandons both halves of a stream as soon as the peer has everything that was written. Does not
   * wait for data that the peer's reader makes no room for.
   */
  breakOff(id: number, errorCode: number): void {
    const send = this.open.get(id)?.send;
    if (send === undefined) return;
    if (send.bufferedBytes > 0 && send.state <= SEND.finished && !send.isBlockedByPeer) {
      send.breakOffCode = errorCode;
      return;
    }
    this.reset(id, errorCode);
    this.stopSending(id, errorCode);
  }

  stopSending(id: number, errorCode: number): void {
    const stream = this.open.get(id);
    if (stream === undefined || stream.receive.state !== RECEIVE.open) return;
    const { receive } = stream;
    if (receive.isFinished) return;
    this.giveUp(receive, RECEIVE.stopped);
    if (receive.finalBytes < 0) {
      stream.stopPending = true;
      stream.stopCode = errorCode;
      this.list(stream);
    }
    this.retire(stream);
  }

  read(id: number): Uint8Array | undefined {
    const stream = this.open.get(id);
    if (stream === undefined || stream.receive.state !== RECEIVE.open) return undefined;
    const { receive } = stream;
    const bytes = receive.read();
    if (bytes === undefined) {
      receive.isAnnounced = false;
      if (receive.isFinished) this.retire(stream);
      return undefined;
    }
    this.flow.onRead(this.nowMs, this.rttMs, bytes.length);
    if (this.flow.onStreamRead(this.nowMs, this.rttMs, receive)) {
      stream.creditPending = true;
      this.list(stream);
    }
    return bytes;
  }

  /**
   * The reader of a stream no longer needs `bytes`, nor anything that read() returned before them.
   */
  recycle(bytes: Uint8Array): void {
    this.slabs.giveBack(bytes);
  }

  /** Whether the peer ended the stream and all of it was read. Always false for a reset stream. */
  readFinished(id: number): boolean {
    const stream = this.open.get(id);
    if (stream === undefined) return !this.unpolledResets.has(id);
    return stream.receive.state === RECEIVE.open && stream.receive.isFinished;
  }

  /** The application has polled the event of a reset stream. */
  onResetPolled(id: number): void {
    this.unpolledResets.delete(id);
  }

  // ------------------------------------------------------------------ frames of the peer

  onStream(frame: FrameCursor): void {
    const stream = this.receiving(frame.id);
    if (stream === undefined) return;
    const { receive } = stream;
    const end = frame.offset + (frame.end - frame.start);
    if (frame.fin && !receive.setFinalBytes(end))
      throw new SrudpError("ERR_FINAL_SIZE", `stream ${frame.id}`);
    if (receive.finalBytes >= 0 && end > receive.finalBytes)
      throw new SrudpError("ERR_FINAL_SIZE", `stream ${frame.id}`);
    if (end > receive.maxBytes) throw new SrudpError("ERR_FLOW_CONTROL", `stream ${frame.id}`);
    const fresh = end - receive.highestBytes;
    if (fresh > 0) this.flow.onReceived(fresh);
    if (!receive.insert(frame.bytes, frame.start, frame.end, frame.offset)) {
      throw new SrudpError("ERR_PROTOCOL", `too many gaps in stream ${frame.id}`);
    }
    if (receive.state === RECEIVE.stopped) {
      // The application does not read this stream: grant the credit again at once.
      if (fresh > 0) this.flow.onRead(this.nowMs, this.rttMs, fresh);
      receive.readBytes = receive.highestBytes;
      this.retire(stream);
    } else if (receive.isReadable && !receive.isAnnounced) this.announce(receive);
  }

  onResetStream(frame: FrameCursor): void {
    const stream = this.receiving(frame.id);
    if (stream === undefined) return;
    const { receive } = stream;
    // Checked first: a reset at the offset that was read last is still a reset, not an end.
    const wasFinished = receive.isFinished;
    if (!receive.setFinalBytes(frame.offset)) throw new SrudpError("ERR_FINAL_SIZE", `stream ${frame.id}`);
    if (frame.offset > receive.maxBytes) throw new SrudpError("ERR_FLOW_CONTROL", `stream ${frame.id}`);
    const fresh = frame.offset - receive.highestBytes;
    if (fresh > 0) {
      this.flow.onReceived(fresh);
      receive.highestBytes = frame.offset;
    }
    const wasOpen = receive.state === RECEIVE.open;
    if (receive.state === RECEIVE.reset || (wasOpen && wasFinished)) return;
    receive.resetCode = frame.code;
    this.giveUp(receive, RECEIVE.reset);
    receive.readBytes = receive.finalBytes;
    if (wasOpen) {
      this.unpolledResets.add(frame.id);
      this.events.push(EVENT.streamReset, frame.id, frame.code);
    }
    this.retire(stream);
  }

  onStopSending(frame: FrameCursor): void {
    const stream = this.receiving(frame.id);
    if (stream === undefined || stream.send.state >= SEND.resetQueued) return;
    this.reset(frame.id, frame.code);
    this.events.push(EVENT.stopSending, frame.id, frame.code);
  }

  onMaxData(frame: FrameCursor): void {
    if (frame.offset > this.flow.peerMaxBytes) this.flow.peerMaxBytes = frame.offset;
  }

  onMaxStreamData(frame: FrameCursor): void {
    const stream = this.receiving(frame.id);
    if (stream === undefined || frame.offset <= stream.send.maxBytes) return;
    stream.send.maxBytes = frame.offset;
    this.queue(stream.send);
  }

  onMaxStreams(frame: FrameCursor): void {
    if (frame.offset <= this.localLimit) return;
    this.localLimit = frame.offset;
    if (this.isOpenerBlocked) {
      this.isOpenerBlocked = false;
      this.events.push(EVENT.streamsAvailable);
    }
  }

  // ------------------------------------------------------------------ output

  /** Bytes that may be sent for the first time now, all streams together. */
  private get credit(): number {
    return Math.min(this.flow.credit, UNACKED_ALL_MAX_BYTES - this.unackedBytes);
  }

  /** Whether any stream could send now, apart from congestion control. */
  get hasStreamWork(): boolean {
    const { credit } = this;
    for (const queue of this.ready) {
      for (const send of queue) if (send.hasWork(credit)) return true;
    }
    return false;
  }

  get hasControlWork(): boolean {
    return this.flow.isUpdateWanted || this.isStreamsUpdateWanted || this.listed.length > 0;
  }

  /** Writes due control frames into bytes[at, end) and records them. */
  writeControl(bytes: Uint8Array, at: number, end: number, sent: SentPackets): number {
    if (this.flow.isUpdateWanted && end - at >= CONTROL_FRAME_BYTES) {
      this.flow.isUpdateWanted = false;
      at = writeNumbers(bytes, at, FRAME.maxData, this.flow.maxBytes);
      sent.record(RECORD.maxData, undefined, this.flow.maxBytes, 0);
    }
    if (this.isStreamsUpdateWanted && end - at >= CONTROL_FRAME_BYTES) {
      this.isStreamsUpdateWanted = false;
      at = writeNumbers(bytes, at, FRAME.maxStreams, this.remoteLimit);
      sent.record(RECORD.maxStreams, undefined, this.remoteLimit, 0);
    }
    while (this.listed.length > 0 && end - at >= 3 * CONTROL_FRAME_BYTES) {
      const stream = this.listed.pop()!;
      stream.isListed = false;
      if (stream.resetPending) {
        stream.resetPending = false;
        if (stream.send.state === SEND.resetQueued) stream.send.state = SEND.resetSent;
        at = writeNumbers(
          bytes,
          at,
          FRAME.resetStream,
          stream.id,
          stream.send.resetCode,
          stream.send.sentBytes,
        );
        sent.record(RECORD.reset, stream.send, 0, 0);
      }
      if (stream.stopPending) {
        stream.stopPending = false;
        at = writeNumbers(bytes, at, FRAME.stopSending, stream.id, stream.stopCode);
        sent.record(RECORD.stopSending, stream.send, 0, 0);
      }
      if (stream.creditPending) {
        stream.creditPending = false;
        at = writeNumbers(bytes, at, FRAME.maxStreamData, stream.id, stream.receive.maxBytes);
        sent.record(RECORD.maxStreamData, stream.send, stream.receive.maxBytes, 0);
      }
    }
    return at;
  }

  /**
   * Writes STREAM frames into bytes[at, end), one stream after another, and records them.
   *
   * @param rate the sending rate, bytes per ms; Infinity while it is unknown
   */
  writeStreams(bytes: Uint8Array, at: number, end: number, sent: SentPackets, rate: number): number {
    for (const queue of this.ready) {
      if (queue.length === 0) continue;
      const turnBytes = turnBytesOf(rate, queue.length);
      // Each stream is polled once per packet, in rotation.  // docs/protocol.md, "Scheduling"
      for (let turns = queue.length; turns > 0 && end - at > 1; turns--) {
        const send = queue[0]!;
        const { credit } = this;
        const hasWritten = send.hasWork(credit);
        if (hasWritten) {
          const next = send.writeFrame(bytes, at, end, credit);
          // A frame that does not fit keeps its turn for the next packet.
          if (next === at) return at;
          at = next;
          send.turnBytes += send.frameBytes;
          this.flow.sentBytes += send.frameFreshBytes;
          this.unackedBytes += send.frameFreshBytes;
          if (send.frameFreshBytes === 0) this.retransmittedBytes += send.frameBytes;
          const kind = send.frameFin ? RECORD.streamFin : RECORD.stream;
          sent.record(kind, send, send.frameOffset, send.frameBytes);
          this.onTaken(send.frameFreshBytes);
          this.wakeWriter(send);
        }
        const hasMore = send.hasWork(Number.POSITIVE_INFINITY);
        if (hasMore && hasWritten && send.turnBytes < turnBytes) continue;
        send.turnBytes = 0;
        queue.shift();
        if (hasMore) queue.push(send);
        else send.isQueued = false;
      }
    }
    return at;
  }

  // ------------------------------------------------------------------ fate of frames

  onFrameAcked(kind: number, send: SendStream | undefined, offset: number, value: number): void {
    if (send === undefined) return;
    if (kind === RECORD.stream || kind === RECORD.streamFin) {
      const wasDone = send.state === SEND.done;
      const ackedBefore = send.ackedBytes;
      if (send.onAcked(offset, value, kind === RECORD.streamFin) && !wasDone) {
        this.events.push(EVENT.streamAcknowledged, send.id);
        const stream = this.open.get(send.id);
        if (stream !== undefined) this.retire(stream);
      }
      this.unackedBytes -= send.ackedBytes - ackedBefore;
      if (!send.isQueued && send.sentBytes < send.writtenBytes) this.queue(send);
      if (send.breakOffCode >= 0 && send.bufferedBytes === 0) this.breakOff(send.id, send.breakOffCode);
    } else if (kind === RECORD.reset) {
      send.state = SEND.done;
      const stream = this.open.get(send.id);
      if (stream !== undefined) this.retire(stream);
    }
  }

  onFrameLost(kind: number, send: SendStream | undefined, offset: number, value: number): void {
    switch (kind) {
      case RECORD.stream:
      case RECORD.streamFin:
        send!.onLost(offset, value, kind === RECORD.streamFin);
        this.queue(send!);
        return;
      case RECORD.maxData:
        // A limit that has been raised since is in a later packet.
        if (offset === this.flow.maxBytes) this.flow.isUpdateWanted = true;
        return;
      case RECORD.maxStreams:
        if (offset === this.remoteLimit) this.isStreamsUpdateWanted = true;
        return;
      default: {
        const stream = this.open.get(send!.id);
        if (stream === undefined) return;
        if (kind === RECORD.reset && send!.state === SEND.resetSent) stream.resetPending = true;
        else if (kind === RECORD.stopSending && stream.receive.finalBytes < 0) stream.stopPending = true;
        else if (
          kind === RECORD.maxStreamData &&
          offset === stream.receive.maxBytes &&
          stream.receive.wantsMore
        ) {
          stream.creditPending = true;
        } else return;
        this.list(stream);
      }
    }
  }

  // ------------------------------------------------------------------ the table

  /**
   * The stream of a received frame. Opens the peer's new streams; undefined for a closed stream.
   */
  private receiving(id: number): Stream | undefined {
    const { latest } = this;
    if (latest !== undefined && latest.id === id) return latest;
    let stream = this.open.get(id);
    if (stream === undefined) {
      const isLocal = (id & 1) === this.parity;
      const index = Math.floor(id / 4);
      if ((id & 2) !== 0) throw new SrudpError("ERR_STREAM_STATE", `stream ${id}`);
      if (isLocal) {
        if (index >= this.localOpened)
          throw new SrudpError("ERR_STREAM_STATE", `stream ${id} was never opened`);
        return undefined;
      }
      if (index >= this.remoteLimit) throw new SrudpError("ERR_STREAM_LIMIT", `stream ${id}`);
      if (index < this.remoteOpened) return undefined;
      // RFC 9000 §3.2: opening a stream opens all lower ones of the same kind.
      while (this.remoteOpened <= index) {
        const opened = 4 * this.remoteOpened++ + (this.parity ^ 1);
        stream = this.add(opened, false, PRIORITY.normal);
        this.events.push(EVENT.streamOpened, opened);
      }
    }
    this.latest = stream;
    return stream;
  }

  private add(id: number, isLocal: boolean, priority: number): Stream {
    const send = new SendStream(id, this.peer!.maxStreamDataBytes, priority);
    const receive = new ReceiveStream(id, this.local.maxStreamDataBytes, this.slabs);
    const stream = new Stream(id, isLocal, send, receive);
    this.open.set(id, stream);
    return stream;
  }

  /** Removes a stream whose two halves have ended. */
  private retire(stream: Stream): void {
    const { receive, send } = stream;
    if (send.state !== SEND.done) return;
    const receiveOver =
      receive.state === RECEIVE.reset ||
      receive.isFinished ||
      (receive.state === RECEIVE.stopped && receive.finalBytes >= 0);
    if (!receiveOver || !this.open.delete(stream.id)) return;
    if (this.latest === stream) this.latest = undefined;
    if (stream.isLocal) return;
    this.remoteClosed++;
    // Send MAX_STREAMS when a good part of the allowance is available again.
    const limit = this.local.maxStreams + this.remoteClosed;
    if (limit - this.remoteLimit >= Math.max(1, this.local.maxStreams / 8)) {
      this.remoteLimit = limit;
      this.isStreamsUpdateWanted = true;
    }
  }

  /** Drops data that the application will not read, and grants its credit again. */
  private giveUp(receive: ReceiveStream, state: number): void {
    const unread = receive.highestBytes - receive.readBytes;
    receive.drop(state);
    receive.readBytes = receive.highestBytes;
    if (unread > 0) this.flow.onRead(this.nowMs, this.rttMs, unread);
  }

  /** Limit of unsent bytes on one stream. */
  private get writeHighBytes(): number {
    return this.isCrowded ? WRITE_HIGH_CROWDED_BYTES : WRITE_HIGH_BYTES;
  }

  /** `bytes` are no longer unsent: they were sent or dropped. */
  private onTaken(bytes: number): void {
    this.unsentBytes -= bytes;
    if (!this.isCrowded || this.unsentBytes > WRITE_HIGH_ALL_BYTES / 2) return;
    this.isCrowded = false;
    for (const { send } of this.open.values()) this.wakeWriter(send);
  }

  private wakeWriter(send: SendStream): void {
    if (!send.isWriterBlocked || send.unsentBytes > this.writeHighBytes / 2) return;
    send.isWriterBlocked = false;
    this.events.push(EVENT.writable, send.id);
  }

  private announce(receive: ReceiveStream): void {
    receive.isAnnounced = true;
    this.events.push(EVENT.readable, receive.id);
  }

  private queue(send: SendStream): void {
    if (send.isQueued || !send.hasWork(Number.POSITIVE_INFINITY)) return;
    send.isQueued = true;
    this.ready[send.priority]!.push(send);
  }

  private list(stream: Stream): void {
    if (stream.isListed) return;
    stream.isListed = true;
    this.listed.push(stream);
  }
}

/** What each of `streams` may send before the next has its turn; 0 means one packet. */
function turnBytesOf(rate: number, streams: number): number {
  if (rate === Number.POSITIVE_INFINITY) return 0;
  return Math.min((rate * ROUND_MS) / streams, MAX_TURN_BYTES);
}

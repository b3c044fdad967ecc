/**
 * The application of one end: opens streams, writes, reads fast or slowly, resets, stops, sends datagrams and
 * closes as the plan says, and judges every byte and event against the plan.
 */

import { type ConnectionEvent, EVENT } from "../../src/engine/connection/connection.ts";
import { contentOf, isContent, MAX_CONTENT_BYTES } from "./content.ts";
import { Half } from "./half.ts";
import type { Application, Peer } from "./peer.ts";
import type { Workload } from "./workload.ts";
import type { DatagramPlan, StreamPlan } from "./workload-plan.ts";

const RESET_CODE = 77;
const STOP_CODE = 99;
const DATAGRAM_KEY = 5000;
const SERIAL_BYTES = 5;

/** The application of one end. */
export class End implements Application {
  readonly side: 0 | 1;
  isEstablished = false;
  establishedAt = Number.POSITIVE_INFINITY;
  isClosed = false;
  /** Closed on its own account, or was killed. */
  hasEnded = false;
  closedAt = Number.POSITIVE_INFINITY;
  /** Streams of the plan that wait for the peer's allowance. */
  readonly #waiting: StreamPlan[] = [];
  readonly #workload: Workload;
  readonly #peer: Peer;

  constructor(workload: Workload, peer: Peer, side: 0 | 1) {
    this.#workload = workload;
    this.#peer = peer;
    this.side = side;
  }

  onEvent(now: number, event: ConnectionEvent): void {
    if (event.kind === EVENT.closed) {
      this.isClosed = true;
      this.closedAt = now;
      return;
    }
    switch (event.kind) {
      case EVENT.established:
        this.#onEstablished(now);
        return;
      case EVENT.peerOffered:
        this.#peer.wakeAt(now + 20, "answer");
        return;
      case EVENT.streamOpened:
        this.#onOpened(now, event.streamId);
        return;
      case EVENT.readable:
        this.#read(now, this.#incoming(event.streamId));
        return;
      case EVENT.writable:
        this.#onWritable(now, this.#outgoing(event.streamId));
        return;
      case EVENT.streamReset:
        this.#onReset(now, this.#incoming(event.streamId), event.errorCode);
        return;
      case EVENT.stopSending:
        this.#onStopped(now, this.#outgoing(event.streamId), event.errorCode);
        return;
      case EVENT.streamAcknowledged:
        this.#onAcknowledged(this.#outgoing(event.streamId));
        return;
      case EVENT.streamsAvailable:
        this.#openWaiting(now);
        return;
      case EVENT.datagram:
        this.#readDatagrams();
        return;
    }
  }

  onWake(now: number, subject: unknown): void {
    if (subject === "answer") this.#peer.connection.answerPeer(now, true);
    else if (subject === "vanish") {
      this.hasEnded = true;
      this.#peer.isGone = true;
    } else if (subject === "close") this.#close(now);
    else if (this.isClosed || this.hasEnded) return;
    else if (subject instanceof Half) {
      subject.isReading = false;
      this.#read(now, subject);
    } else if (Array.isArray(subject)) {
      const [plan, sent] = subject as [DatagramPlan, number];
      this.#sendDatagram(now, plan, sent);
    } else {
      this.#waiting.push(subject as StreamPlan);
      this.#openWaiting(now);
    }
  }

  closeAt(at: number): void {
    this.#peer.wakeAt(at, "close");
  }

  #onEstablished(now: number): void {
    this.isEstablished = true;
    this.establishedAt = now;
    const { plan } = this.#workload;
    for (const stream of plan.streams) {
      if (stream.opener === this.side) this.#peer.wakeAt(now + stream.openAtMs, stream);
    }
    for (const datagrams of plan.datagrams) {
      if (datagrams.from === this.side) this.#peer.wakeAt(now + datagrams.startMs, [datagrams, 0]);
    }
    const { by, when, atMs } = plan.close;
    if (when !== "done" && (by === "both" || by === this.side)) {
      this.#peer.wakeAt(now + atMs, when === "vanish" ? "vanish" : "close");
    }
    this.#workload.noticeDone(now);
  }

  #close(now: number): void {
    if (this.isClosed) return;
    this.hasEnded = true;
    this.#peer.connection.close(now, this.#workload.plan.close.errorCode, "as planned");
    this.#peer.afterCommand(now);
  }

  // ------------------------------------------------------------------ sending

  #openWaiting(now: number): void {
    const { connection } = this.#peer;
    for (let plan = this.#waiting[0]; plan !== undefined; plan = this.#waiting[0]) {
      const streamId = connection.openStream();
      if (streamId < 0) return;
      this.#waiting.shift();
      const { streams } = this.#workload;
      if (streams.has(streamId)) this.#fail(`stream ${streamId} was opened twice`);
      const halves = [new Half(plan.forth, streamId, 0), new Half(plan.back, streamId, 1)] as const;
      streams.set(streamId, { plan, halves, isKnownToPeer: false });
      this.#peer.afterCommand(now);
      this.#write(now, halves[0]);
    }
  }

  #onWritable(now: number, half: Half): void {
    if (half.senderEnd === "open" && !half.isWriterBlocked)
      this.#fail(`stream ${half.streamId}: writable, unasked`);
    half.isWriterBlocked = false;
    this.#write(now, half);
  }

  #write(now: number, half: Half): void {
    const { connection } = this.#peer;
    const { plan, streamId } = half;
    while (half.senderEnd === "open" && half.written < plan.totalBytes) {
      const length = Math.min(plan.chunkBytes, plan.totalBytes - half.written, MAX_CONTENT_BYTES);
      const bytes = contentOf(half.key, half.written, length);
      half.written += length;
      half.isWriterBlocked = !connection.write(streamId, bytes);
      this.#peer.afterCommand(now);
      if (half.isWriterBlocked) return;
    }
    if (half.senderEnd !== "open") return;
    half.senderEnd = plan.end;
    if (plan.end === "reset") connection.reset(streamId, RESET_CODE);
    else connection.finish(streamId);
    this.#peer.afterCommand(now);
    this.#workload.noticeDone(now);
  }

  #onStopped(now: number, half: Half, errorCode: number): void {
    if (half.receiverEnd !== "stopped") this.#fail(`stream ${half.streamId} was stopped by nobody`);
    if (errorCode !== STOP_CODE) this.#fail(`stream ${half.streamId}: stopped with ${errorCode}`);
    half.senderEnd = "stopped";
    this.#workload.noticeDone(now);
  }

  #onAcknowledged(half: Half): void {
    if (half.senderEnd !== "finish") this.#fail(`stream ${half.streamId}: acknowledged, but not finished`);
    if (half.isAcknowledged) this.#fail(`stream ${half.streamId}: acknowledged twice`);
    half.isAcknowledged = true;
  }

  // ------------------------------------------------------------------ receiving

  #onOpened(now: number, streamId: number): void {
    const stream = this.#workload.streams.get(streamId);
    if (stream === undefined) throw this.#fail(`stream ${streamId} was opened by nobody`);
    if (stream.isKnownToPeer) this.#fail(`stream ${streamId} was opened twice`);
    if (stream.plan.opener === this.side) this.#fail(`stream ${streamId} came back as the peer's`);
    stream.isKnownToPeer = true;
    this.#write(now, stream.halves[1]);
  }

  #read(now: number, half: Half): void {
    const { connection } = this.#peer;
    const workload = this.#workload;
    if (half.isReading || half.receiverEnd !== "open") return;
    for (;;) {
      const bytes = connection.read(half.streamId);
      if (bytes === undefined) break;
      if (bytes.length === 0) this.#fail(`stream ${half.streamId}: read nothing`);
      if (half.read + bytes.length > half.written)
        this.#fail(`stream ${half.streamId}: more read than written`);
      if (!isContent(bytes, half.key, half.read)) {
        this.#fail(`stream ${half.streamId}: wrong bytes in [${half.read}, ${half.read + bytes.length})`);
      }
      half.read += bytes.length;
      workload.readBytes += bytes.length;
      workload.firstReadAt = Math.min(workload.firstReadAt, now);
      workload.lastReadAt = now;
      workload.onRead?.(now, this.side, half.streamId, bytes.length);
      this.#peer.afterCommand(now);
      if (half.read >= half.plan.stopAfterBytes) {
        if (!connection.readFinished(half.streamId)) {
          connection.stopSending(half.streamId, STOP_CODE);
          half.receiverEnd = "stopped";
          this.#peer.afterCommand(now);
          workload.noticeDone(now);
          return;
        }
      }
      if (half.plan.readPauseMs > 0) {
        half.isReading = true;
        this.#peer.wakeAt(now + half.plan.readPauseMs, half);
        return;
      }
    }
    if (!connection.readFinished(half.streamId)) return;
    if (half.senderEnd !== "finish" || half.read !== half.plan.totalBytes) {
      this.#fail(`stream ${half.streamId}: ended cleanly after ${half.read} bytes (${half.senderEnd})`);
    }
    half.receiverEnd = "finished";
    workload.noticeDone(now);
  }

  #onReset(now: number, half: Half, errorCode: number): void {
    if (half.senderEnd !== "reset")
      this.#fail(`stream ${half.streamId} was reset by nobody (${half.senderEnd})`);
    if (errorCode !== RESET_CODE) this.#fail(`stream ${half.streamId}: reset with ${errorCode}`);
    if (half.receiverEnd !== "open") this.#fail(`stream ${half.streamId}: reset after ${half.receiverEnd}`);
    if (this.#peer.connection.read(half.streamId) !== undefined) this.#fail("bytes after a reset");
    half.receiverEnd = "reset";
    this.#workload.noticeDone(now);
  }

  // ------------------------------------------------------------------ datagrams

  #sendDatagram(now: number, plan: DatagramPlan, sent: number): void {
    const { connection } = this.#peer;
    const { sentDatagrams } = this.#workload;
    const serial = sentDatagrams[this.side];
    const length = Math.max(SERIAL_BYTES, Math.min(plan.lengthBytes, connection.maxDatagramBytes));
    const bytes = new Uint8Array(length);
    bytes[0] = this.side;
    new DataView(bytes.buffer).setUint32(1, serial);
    bytes.set(contentOf(DATAGRAM_KEY, serial, length - SERIAL_BYTES), SERIAL_BYTES);
    if (connection.sendDatagram(bytes)) sentDatagrams[this.side]++;
    this.#peer.afterCommand(now);
    if (sent + 1 < plan.count) this.#peer.wakeAt(now + plan.intervalMs, [plan, sent + 1]);
    else {
      this.#workload.datagramPlansOver++;
      this.#workload.noticeDone(now);
    }
  }

  #readDatagrams(): void {
    const from = (1 - this.side) as 0 | 1;
    const received = this.#workload.receivedDatagrams[from];
    for (;;) {
      const bytes = this.#peer.connection.readDatagram();
      if (bytes === undefined) return;
      const serial = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (bytes[0] !== from || serial >= this.#workload.sentDatagrams[from]) {
        this.#fail(`datagram ${serial} was sent by nobody`);
      }
      if (received.has(serial)) this.#fail(`datagram ${serial} came twice`);
      received.add(serial);
      if (!isContent(bytes.subarray(SERIAL_BYTES), DATAGRAM_KEY, serial))
        this.#fail(`datagram ${serial}: wrong bytes`);
    }
  }

  // ------------------------------------------------------------------ tables

  #incoming(streamId: number): Half {
    return this.#half(streamId, false);
  }

  #outgoing(streamId: number): Half {
    return this.#half(streamId, true);
  }

  #half(streamId: number, isOutgoing: boolean): Half {
    const stream = this.#workload.streams.get(streamId);
    if (stream === undefined) return this.#fail(`an event of stream ${streamId}, which nobody opened`);
    if (stream.plan.opener !== this.side && !stream.isKnownToPeer) {
      this.#fail(`an event of stream ${streamId} before it was opened`);
    }
    return stream.halves[(stream.plan.opener === this.side) === isOutgoing ? 0 : 1];
  }

  #fail(what: string): never {
    return this.#workload.fail(`${this.#peer.name}: ${what}`);
  }
}

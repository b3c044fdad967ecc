/**
 * Opens received packets and dispatches their frames.
 *
 * A packet that does not open is counted and changes nothing. An authentic packet that breaks the
 * rules throws a SrudpError, which ends the connection with its wire code.
 * // RFC 9000 §12, §13; docs/protocol.md, "Data packets"
 */

import { copyBytes, utf8Decode } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Path } from "../../base/path.ts";
import { ReplayWindow } from "../../crypto/replay-window.ts";
import { CLOSE_REASON_BYTES, FRAME, FrameCursor, isAckEliciting } from "../../wire/frames.ts";
import { epochOf, HEADER_BYTES, packetNumberOf, TAG_BYTES } from "../../wire/packet.ts";
import { EVENT, type EventQueue } from "./events.ts";
import type { LinkParts } from "./link-parts.ts";
import type { Transmission } from "./transmission.ts";

/**
 * Maximum number of ACK frames processed in one packet; further ones are skipped. An honest peer
 * sends one. Each can name 64 ranges in 130 bytes, which is more work for its length than any other
 * frame.
 */
const ACK_FRAMES_LIMIT = 4;

/** How the peer ends the connection. */
export interface CloseFrame {
  readonly errorCode: number;
  readonly reason: string;
}

export class Incoming {
  receivedPackets = 0;
  droppedPackets = 0;
  lastReceivedAtMs: number;
  /**
   * The path that the peer moved to with the packet of the last takeFrames(); undefined if it did
   * not move.
   */
  movedTo: Path | undefined;
  private readonly parts: LinkParts;
  private readonly transmission: Transmission;
  private readonly events: EventQueue;
  private readonly frames: FrameCursor = new FrameCursor();
  private readonly replay: ReplayWindow = new ReplayWindow();
  private path: Path;

  constructor(nowMs: number, parts: LinkParts, transmission: Transmission, events: EventQueue) {
    this.parts = parts;
    this.transmission = transmission;
    this.events = events;
    this.path = parts.paths.active;
    this.lastReceivedAtMs = nowMs;
  }

  /**
   * Opens the packet at bytes[at, end) in place; false if it is not genuine, not new, or not
   * addressed to this connection.
   */
  open(nowMs: number, path: Path, bytes: Uint8Array, at: number, end: number): boolean {
    const { keys, ids, paths, recovery, tracer } = this.parts;
    const packetNumber = packetNumberOf(bytes, at);
    const epoch = epochOf(bytes, at);
    const key = keys.openKeyOf(epoch);
    if (key === undefined || !ids.isLocal(bytes, at) || !this.replay.accepts(packetNumber)) {
      this.droppedPackets++;
      if (tracer !== undefined) {
        const isForeign = key !== undefined && !ids.isLocal(bytes, at);
        const reason = key === undefined ? "key_unavailable" : isForeign ? "connection_unknown" : "duplicate";
        tracer.packetDropped(nowMs, end - at, reason);
      }
      return false;
    }
    if (!key.open(bytes, at, at + HEADER_BYTES, end - TAG_BYTES, packetNumber)) {
      keys.forgeries++;
      this.droppedPackets++;
      if (tracer !== undefined) tracer.packetDropped(nowMs, end - at, "decryption_failure");
      return false;
    }
    this.replay.commit(packetNumber);
    const isNewEpoch = !keys.isSettled && keys.onOpened(nowMs, epoch, recovery.ptoMs);
    this.receivedPackets++;
    if (tracer !== undefined) {
      if (isNewEpoch) tracer.keysUpdated(nowMs, keys.epoch, true);
      tracer.packetReceived(nowMs, packetNumber, epoch, bytes, at + HEADER_BYTES, end - TAG_BYTES);
    }
    this.lastReceivedAtMs = nowMs;
    paths.onReceived(path, end - at);
    this.path = path;
    return true;
  }

  /**
   * Processes the frames of the packet that open() opened last, up to a CLOSE, which it returns.
   */
  takeFrames(nowMs: number, bytes: Uint8Array, at: number, end: number): CloseFrame | undefined {
    this.movedTo = undefined;
    const { frames, parts } = this;
    const packetNumber = packetNumberOf(bytes, at);
    let ackEliciting = false;
    let onlyProbes = true;
    let ackFrames = 0;
    frames.reset(bytes, at + HEADER_BYTES, end - TAG_BYTES);
    while (frames.next()) {
      if (isAckEliciting(frames.type)) ackEliciting = true;
      if (!isProbing(frames.type)) onlyProbes = false;
      if (frames.type === FRAME.ack && ++ackFrames > ACK_FRAMES_LIMIT) continue;
      if (frames.type === FRAME.close) return closeOf(frames);
      this.takeFrame(nowMs, frames);
    }
    if (!frames.ok) throw new SrudpError("ERR_FRAME_ENCODING");
    const isNewest = packetNumber > parts.received.largest;
    parts.received.onPacket(nowMs, packetNumber, ackEliciting);
    if (isNewest && !onlyProbes && this.path !== parts.paths.active) this.movedTo = this.path;
    return undefined;
  }

  /** Whether the packet that open() opened last contains a CLOSE. Processes nothing. */
  holdsClose(bytes: Uint8Array, at: number, end: number): boolean {
    const { frames } = this;
    frames.reset(bytes, at + HEADER_BYTES, end - TAG_BYTES);
    while (frames.next()) if (frames.type === FRAME.close) return true;
    return false;
  }

  private takeFrame(nowMs: number, frame: FrameCursor): void {
    const { streams, received, recovery, keys, ids, paths, activity, tracer } = this.parts;
    switch (frame.type) {
      case FRAME.padding:
      case FRAME.ping:
        return;
      case FRAME.stream:
        activity.record(nowMs);
        streams.onStream(frame);
        return;
      case FRAME.ack:
        if (!recovery.onAck(nowMs, frame)) throw new SrudpError("ERR_PROTOCOL", "ACK of a packet never sent");
        paths.onAcknowledged(recovery.largestAcked);
        this.transmission.updateMtu(nowMs);
        return;
      case FRAME.datagram:
        activity.record(nowMs);
        this.takeDatagram(frame);
        return;
      case FRAME.maxData:
        streams.onMaxData(frame);
        return;
      case FRAME.maxStreamData:
        streams.onMaxStreamData(frame);
        return;
      case FRAME.maxStreams:
        streams.onMaxStreams(frame);
        return;
      case FRAME.resetStream:
        streams.onResetStream(frame);
        return;
      case FRAME.stopSending:
        streams.onStopSending(frame);
        return;
      case FRAME.ackFrequency:
        received.onAckFrequency(frame.id, frame.offset, frame.code);
        return;
      case FRAME.immediateAck:
        received.wantNow(nowMs);
        return;
      case FRAME.newConnectionId:
        ids.onNewId(frame.offset, frame.bytes.subarray(frame.start, frame.end));
        return;
      case FRAME.retireConnectionId:
        ids.onRetire(frame.offset);
        this.announceIds();
        return;
      case FRAME.pathChallenge:
        paths.onChallenge(this.path, frame.bytes.subarray(frame.start, frame.end));
        return;
      case FRAME.pathResponse: {
        const validated = paths.onResponse(nowMs, frame.bytes.subarray(frame.start, frame.end));
        if (validated === undefined) return;
        if (tracer !== undefined) tracer.pathValidated(nowMs, validated, validated === paths.active);
        this.events.push(EVENT.pathValidated, 0, 0, validated);
        return;
      }
      case FRAME.rekey: {
        const { epoch } = keys;
        keys.onFrame(nowMs, frame.id, frame.code, copyBytes(frame.bytes, frame.start, frame.end));
        if (tracer !== undefined && keys.epoch !== epoch) tracer.keysUpdated(nowMs, keys.epoch, false);
        return;
      }
      default:
        throw new SrudpError("ERR_FRAME_ENCODING", `frame of type ${frame.type}`);
    }
  }

  /** Reports a change of the local connection IDs, so that the caller can update its table. */
  announceIds(): void {
    if (!this.parts.ids.changed) return;
    this.parts.ids.changed = false;
    this.events.push(EVENT.idsChanged);
  }

  private takeDatagram(frame: FrameCursor): void {
    const { datagrams } = this.parts;
    datagrams.receive(copyBytes(frame.bytes, frame.start, frame.end));
    if (datagrams.isAnnounced) return;
    datagrams.isAnnounced = true;
    this.events.push(EVENT.datagram);
  }
}

function closeOf({ code, bytes, start, end }: FrameCursor): CloseFrame {
  const reason = utf8Decode(bytes.subarray(start, Math.min(end, start + CLOSE_REASON_BYTES)));
  return { errorCode: code, reason };
}

/**
 * Frames that may be sent to probe a path without moving to it.  // RFC 9000 §9.1
 * Deviates: NEW_CONNECTION_ID is not a probing frame. It is never sent on a path that is only
 * probed, but it may be the only frame of a packet on the path in use.
 */
function isProbing(type: number): boolean {
  return type === FRAME.padding || type === FRAME.pathChallenge || type === FRAME.pathResponse;
}

/**
 * Flow control of the whole connection in both directions, and auto-tuning of receive windows.
 * // RFC 9000 §4, docs/protocol.md, "Flow control"
 */
import { SrudpError } from "../../base/errors.ts";
import type { ReceiveStream } from "./receive-stream.ts";

/** Upper bounds of windows, limited by the memory that one link may use. */
export const MAX_STREAM_WINDOW_BYTES: number = 6 * 1024 * 1024;
export const MAX_CONNECTION_WINDOW_BYTES: number = 9 * 1024 * 1024;
/** The connection's window is at least this multiple of the largest stream window. */
const CONNECTION_OVER_STREAM = 1.5;
/** Credit is granted when this fraction of the window was used up. */
const UPDATE_SHARE = 0.25;
/** A window is too small if each fraction is used up in fewer round trips than this. */
const TUNE_ROUND_TRIPS = 4;

export class FlowControl {
  /** Bytes that the local side may send on all streams together, and has sent. */
  peerMaxBytes = 0;
  sentBytes = 0;
  /** Bytes that the peer may send, has sent, and that were read or dropped. */
  maxBytes: number;
  receivedBytes = 0;
  readBytes = 0;
  windowBytes: number;
  /** MAX_DATA should be sent. */
  isUpdateWanted = false;
  private tuneStartMs = -1;
  private tuneStartBytes = 0;

  constructor(windowBytes: number) {
    this.windowBytes = windowBytes;
    this.maxBytes = windowBytes;
  }

  get credit(): number {
    return this.peerMaxBytes - this.sentBytes;
  }

  /**
   * The peer sent `bytes` beyond the highest offset of a stream so far. Throws ERR_FLOW_CONTROL.
   */
  onReceived(bytes: number): void {
    this.receivedBytes += bytes;
    if (this.receivedBytes > this.maxBytes)
      throw new SrudpError("ERR_FLOW_CONTROL", "connection limit exceeded");
  }

  /** The application read `bytes`, or will never read them. */
  onRead(nowMs: number, rttMs: number, bytes: number): void {
    this.readBytes += bytes;
    if (this.maxBytes - this.readBytes > this.windowBytes * (1 - UPDATE_SHARE)) return;
    this.windowBytes = tuned(
      this.windowBytes,
      MAX_CONNECTION_WINDOW_BYTES,
      this.readBytes - this.tuneStartBytes,
      nowMs - this.tuneStartMs,
      rttMs,
      this.tuneStartMs >= 0,
    );
    this.tuneStartMs = nowMs;
    this.tuneStartBytes = this.readBytes;
    this.grant();
  }

  /**
   * Grants a stream credit up to a window beyond its reader. Returns whether MAX_STREAM_DATA should
   * be sent.
   */
  onStreamRead(nowMs: number, rttMs: number, stream: ReceiveStream): boolean {
    if (!stream.wantsMore) return false;
    if (stream.maxBytes - stream.readBytes > stream.windowBytes * (1 - UPDATE_SHARE)) return false;
    stream.windowBytes = tuned(
      stream.windowBytes,
      MAX_STREAM_WINDOW_BYTES,
      stream.readBytes - stream.tuneStartBytes,
      nowMs - stream.tuneStartMs,
      rttMs,
      stream.tuneStartMs >= 0,
    );
    stream.tuneStartMs = nowMs;
    stream.tuneStartBytes = stream.readBytes;
    stream.maxBytes = Math.max(stream.maxBytes, stream.readBytes + stream.windowBytes);
    const wanted = Math.min(
      Math.floor(CONNECTION_OVER_STREAM * stream.windowBytes),
      MAX_CONNECTION_WINDOW_BYTES,
    );
    if (wanted > this.windowBytes) {
      this.windowBytes = wanted;
      this.grant();
    }
    return true;
  }

  private grant(): void {
    const limit = this.readBytes + this.windowBytes;
    if (limit <= this.maxBytes) return;
    this.maxBytes = limit;
    this.isUpdateWanted = true;
  }
}

/** The window after `bytes` of it were used up in `elapsedMs`: doubled if that was too fast. */
function tuned(
  windowBytes: number,
  mostBytes: number,
  bytes: number,
  elapsedMs: number,
  rttMs: number,
  isMeasured: boolean,
): number {
  if (!isMeasured || windowBytes >= mostBytes) return windowBytes;
  const share = bytes / windowBytes;
  return elapsedMs < TUNE_ROUND_TRIPS * rttMs * share ? Math.min(2 * windowBytes, mostBytes) : windowBytes;
}

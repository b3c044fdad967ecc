/**
 * The interface of an observer of a connection. It receives every packet, loss, estimate and change
 * of state at once, and changes nothing.
 *
 * A connection without a tracer pays for one comparison per event. With a tracer it passes numbers
 * and existing objects; it allocates nothing for the tracer, which must not keep references.
 */
import type { Path } from "../../base/path.ts";
import type { CongestionController } from "../congestion/congestion.ts";
import type { Role } from "../handshake/handshake.ts";
import type { RttEstimator } from "../recovery/rtt.ts";
import type { TransportParameters } from "./transport-parameters.ts";

/** Why a packet was dropped.  // draft-ietf-quic-qlog-quic-events §5.7 defines these words */
export type DropReason =
  /** It is not a valid packet. */
  | "invalid"
  /** A handshake packet that is out of place, or does not verify. */
  | "rejected"
  | "key_unavailable"
  | "connection_unknown"
  | "duplicate"
  | "decryption_failure";

/** The current state of recovery and congestion control. */
export interface RecoveryMetrics {
  readonly rtt: RttEstimator;
  readonly controller: CongestionController;
  readonly bytesInFlight: number;
  readonly packetsInFlight: number;
  readonly ptoCount: number;
}

export interface Tracer {
  /** A handshake or notice packet is sent over `path`: bytes[0, byteLength). */
  handshakeSent(nowMs: number, path: Path, bytes: Uint8Array, byteLength: number): void;
  /** A handshake or notice packet was accepted. */
  handshakeReceived(nowMs: number, path: Path, bytes: Uint8Array): void;
  /** The keys exist. The role is final. */
  established(nowMs: number, role: Role, peerConnectionId: Uint8Array): void;
  parametersSet(nowMs: number, side: "local" | "remote", parameters: TransportParameters): void;
  /** The peer has proved that it has the keys. */
  confirmed(nowMs: number): void;
  /**
   * A data packet is about to be sealed: its plaintext frames are in bytes[from, to). `flags` are
   * those of `SENT`.
   */
  packetSent(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    flags: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void;
  /**
   * A data packet was opened: its frames are in bytes[from, to). `epoch` is modulo 4, as on the
   * wire.
   */
  packetReceived(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void;
  /** A data packet arrived before its keys and is buffered. */
  packetBuffered(nowMs: number, byteLength: number): void;
  packetDropped(nowMs: number, byteLength: number, reason: DropReason): void;
  /**
   * @param isOvertaken true if enough later packets were acknowledged, false if enough time passed
   */
  packetLost(nowMs: number, packetNumber: number, isOvertaken: boolean, isMtuProbe: boolean): void;
  /** Some of the estimates may have changed. */
  metricsUpdated(nowMs: number, metrics: RecoveryMetrics): void;
  mtuUpdated(nowMs: number, oldBytes: number, newBytes: number): void;
  /**
   * Packets are sealed in this epoch from now on. `isAnswer` if the peer started the key update.
   */
  keysUpdated(nowMs: number, epoch: number, isAnswer: boolean): void;
  /** Packets are sent over `path` from now on. An unvalidated path is being validated. */
  pathChanged(nowMs: number, path: Path, isValidated: boolean): void;
  /** `path` has answered a challenge. */
  pathValidated(nowMs: number, path: Path, isActive: boolean): void;
  /**
   * The connection ends.
   *
   * @param code an `ErrorCode`, undefined for an orderly end
   * @param state the state that the connection enters
   */
  closed(
    nowMs: number,
    state: "closing" | "draining" | "closed",
    origin: "local" | "remote" | "network",
    code: string | undefined,
    errorCode: number,
    reason: string,
  ): void;
  /** Closing or draining is over: no further calls follow. */
  ended(nowMs: number): void;
}

/**
 * Who watches a connection from outside: told of every packet, loss, estimate and change of state at the
 * moment of it, and changing nothing.
 *
 * A connection without a tracer pays for one comparison at each of these places. With one it hands over
 * numbers and what exists anyway; nothing is made for the tracer's sake, and it may keep nothing of it.
 */
import type { Path } from "../../base/path.ts";
import type { CongestionController } from "../congestion/congestion.ts";
import type { Role } from "../handshake/handshake.ts";
import type { RttEstimator } from "../recovery/rtt.ts";
import type { TransportParameters } from "./transport-parameters.ts";

/** Why a packet was dropped.  // draft-ietf-quic-qlog-quic-events §5.7, whose words these are */
export type DropReason =
  /** It is no packet. */
  | "invalid"
  /** A handshake packet that does not belong here, or does not verify. */
  | "rejected"
  | "key_unavailable"
  | "connection_unknown"
  | "duplicate"
  | "decryption_failure";

/** What recovery and congestion control know at the moment. */
export interface RecoveryMetrics {
  readonly rtt: RttEstimator;
  readonly controller: CongestionController;
  readonly bytesInFlight: number;
  readonly packetsInFlight: number;
  readonly ptoCount: number;
}

export interface Tracer {
  /** A handshake or notice packet leaves over `path`: bytes[0, byteLength). */
  handshakeSent(nowMs: number, path: Path, bytes: Uint8Array, byteLength: number): void;
  /** A handshake or notice packet was taken in. */
  handshakeReceived(nowMs: number, path: Path, bytes: Uint8Array): void;
  /** The keys are there. The role is settled from now on. */
  established(nowMs: number, role: Role, peerConnectionId: Uint8Array): void;
  parametersSet(nowMs: number, side: "local" | "remote", parameters: TransportParameters): void;
  /** The peer has shown that it holds the keys. */
  confirmed(nowMs: number): void;
  /** A data packet is about to be sealed: its frames stand open in bytes[from, to). `flags` are those of `SENT`. */
  packetSent(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    flags: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void;
  /** A data packet was opened: its frames stand in bytes[from, to). `epoch` is modulo 4, as on the wire. */
  packetReceived(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void;
  /** A data packet came before its keys and waits for them. */
  packetBuffered(nowMs: number, byteLength: number): void;
  packetDropped(nowMs: number, byteLength: number, reason: DropReason): void;
  /** @param isOvertaken by as many packets as prove a loss; false: for as long as proves one */
  packetLost(nowMs: number, packetNumber: number, isOvertaken: boolean, isMtuProbe: boolean): void;
  /** Some of the estimates may have changed. */
  metricsUpdated(nowMs: number, metrics: RecoveryMetrics): void;
  mtuUpdated(nowMs: number, oldBytes: number, newBytes: number): void;
  /** Packets are sealed in this epoch from now on; `isAnswer` when the peer asked for it. */
  keysUpdated(nowMs: number, epoch: number, isAnswer: boolean): void;
  /** Packets go over `path` from now on; an unvalidated one is on trial. */
  pathChanged(nowMs: number, path: Path, isValidated: boolean): void;
  /** `path` has answered a challenge. */
  pathProved(nowMs: number, path: Path, isActive: boolean): void;
  /**
   * The connection ends.
   *
   * @param code an `ErrorCode`, undefined for an orderly end
   * @param state what it is in now
   */
  closed(
    nowMs: number,
    state: "closing" | "draining" | "closed",
    origin: "local" | "remote" | "network",
    code: string | undefined,
    errorCode: number,
    reason: string,
  ): void;
  /** Closing or draining is over: nothing further comes. */
  ended(nowMs: number): void;
}

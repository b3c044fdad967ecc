/** Options, outputs and statistics of a connection. */

import type { ErrorCode } from "../../base/errors.ts";
import type { Path } from "../../base/path.ts";
import type { Primitives } from "../../crypto/primitives.ts";
import type { Handshake } from "../handshake/handshake.ts";
import type { RekeyLimits } from "../handshake/key-update.ts";
import type { Tracer } from "./tracer.ts";
import type { TransportParameters } from "./transport-parameters.ts";

export interface ConnectionConfig {
  readonly handshake: Handshake;
  /** Initiator: the peer's addresses, tried 250 ms apart. Responder: empty. */
  readonly paths: readonly Path[];
  readonly primitives: Primitives;
  readonly random: (byteLength: number) => Uint8Array;
  /** The local limits, identical to those in the handshake. */
  readonly parameters: TransportParameters;
  /** Silence after which the link is lost, ms; Infinity for never. */
  readonly idleTimeoutMs: number;
  readonly congestion: "cubic" | "bbr";
  /** The local connection ID, identical to that in the handshake. */
  readonly connectionId: Uint8Array;
  /** The largest UDP payload that MTU discovery tries; 1200 by default. */
  readonly mtuCeilingBytes?: number | ((path: Path) => number);
  /** When to request new keys, to override the defaults. */
  readonly rekey?: RekeyLimits;
  /** For tests: the first packet number (packet numbers are 48 bits wide). */
  readonly firstPacketNumber?: number;
  /** Receives every event of the connection. */
  readonly tracer?: Tracer;
}

/**
 * One datagram to send, or several consecutive ones of `segmentBytes` each (the last may be
 * shorter).
 */
export interface Transmit {
  /** Owned by the caller; filled from index 0. At least 1200 bytes. */
  buffer: Uint8Array;
  length: number;
  segmentBytes: number;
  path: Path;
}

export interface CloseCause {
  readonly origin: "local" | "remote" | "network";
  /** Undefined for an orderly end. */
  readonly code: ErrorCode | undefined;
  readonly errorCode: number;
  readonly reason: string;
}

export type ConnectionState = "handshaking" | "established" | "closing" | "draining" | "closed";

export interface ConnectionStats {
  readonly sentPackets: number;
  readonly receivedPackets: number;
  /** Packets that did not decrypt, had no valid format, were duplicates or arrived too late. */
  readonly droppedPackets: number;
  readonly lostPackets: number;
  readonly spuriousLosses: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly retransmittedBytes: number;
  readonly rttMs: number;
  readonly minRttMs: number;
  readonly rttVarMs: number;
  readonly congestionWindowBytes: number;
  readonly bytesInFlight: number;
  /** Bytes per ms. */
  readonly pacingRate: number;
  readonly mtuBytes: number;
  readonly congestionPhase: string;
}

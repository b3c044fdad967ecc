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
  /** Initiator: addresses of the peer, tried 250 ms apart. Responder: none. */
  readonly paths: readonly Path[];
  readonly primitives: Primitives;
  readonly random: (byteLength: number) => Uint8Array;
  /** This side's limits, the same that the handshake carries. */
  readonly parameters: TransportParameters;
  /** Silence after which the link is lost, ms; Infinity for never. */
  readonly idleTimeoutMs: number;
  readonly congestion: "cubic" | "bbr";
  /** This side's connection ID, the same that the handshake carries. */
  readonly connectionId: Uint8Array;
  /** Largest UDP payload that the search for the path's MTU tries; the floor of 1200 when absent. */
  readonly mtuCeilingBytes?: number | ((path: Path) => number);
  /** When new keys are asked for, where the defaults do not suit. */
  readonly rekey?: RekeyLimits;
  /** For tests: where packet numbers begin (they are 48 bits wide). */
  readonly firstPacketNumber?: number;
  /** Told of everything that happens. */
  readonly tracer?: Tracer;
}

/** One datagram to be sent, or several of `segmentBytes` each (the last may be shorter) in a row. */
export interface Transmit {
  /** The caller's; filled from index 0. At least 1200 bytes. */
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
  /** Packets that did not decrypt, were no packets, came twice or too late. */
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

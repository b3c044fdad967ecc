/** A world of two ends as plain data: links, NATs, what ails them, the ends, and what they do. */

import type { Primitives } from "../../src/crypto/primitives.ts";
import type { Connection } from "../../src/engine/connection/connection.ts";
import type { TransportParameters } from "../../src/engine/connection/transport-parameters.ts";
import type { Mode } from "../../src/engine/handshake/handshake.ts";
import type { IntruderPlan } from "./intruder.ts";
import type { LinkOptions } from "./link.ts";
import type { NatOptions } from "./nat.ts";
import type { PeerKnobs } from "./peer.ts";
import type { WorkloadPlan } from "./workload-plan.ts";

export interface EndPlan {
  knobs?: Partial<PeerKnobs>;
  parameters?: Partial<TransportParameters>;
  idleTimeoutMs?: number;
  nat?: Partial<NatOptions>;
  /** When the NAT rebinds by itself: port only, or the address too. */
  rebinds?: { atMs: number; address: boolean }[];
  /** When the machine sleeps, and for how long. */
  sleeps?: { atMs: number; forMs: number }[];
  /** Largest datagram that is searched for; 1200 when absent. */
  mtuCeilingBytes?: number;
  rekey?: { afterMs: number; afterPackets: number };
  /** Where packet numbers begin. */
  firstPacketNumber?: number;
  /** Answers the question about the peer's key 20 ms late. */
  asks?: boolean;
}

export interface LinkChange {
  atMs: number;
  link: "toRight" | "toLeft" | "both";
  set: Partial<LinkOptions>;
}

export interface PairPlan {
  seed: number;
  startMs?: number;
  mode?: Mode;
  congestion?: "cubic" | "bbr";
  /** Both ends call each other. End 0 is the first to call. */
  bothConnect?: boolean;
  /** Addresses that end 0 tries before the right one, and that lead nowhere. */
  deadCandidates?: number;
  toRight: Partial<LinkOptions>;
  toLeft: Partial<LinkOptions>;
  /** Knobs of the links that are turned while the world runs. */
  changes?: LinkChange[];
  intruder?: IntruderPlan;
  ends?: readonly [EndPlan, EndPlan];
  workload: WorkloadPlan;
  /** Real cryptography instead of toys; the wire tap sees nothing then. */
  primitives?: Primitives;
  /** Virtual time that is enough for everything. */
  limitMs?: number;
  /** Breaks an engine on purpose, to see whether that is noticed. */
  tamper?: (connection: Connection, side: 0 | 1) => void;
}

/**
 * Predicts from the network state of two sides whether a link between them will be direct, and
 * names the one change that would help most. Codes only; the command words them.
 */
import type { PathKind } from "../../base/path.ts";
import { addressScope, isOnSameSite } from "../../punch/address-scope.ts";
import { type Forecast, forecast, type NatBehaviour } from "../../punch/nat-behaviour.ts";
import type { Candidate } from "../../wire/candidate-codec.ts";

/** What is known of one side: the contents of its signal. */
export interface Side {
  readonly behaviour: NatBehaviour;
  readonly candidates: readonly Candidate[];
}

/** Where one side stands in the network. */
export type Standing =
  /** A public address without a filter. */
  | "open"
  /** A public address behind a filter. */
  | "firewall"
  /** The router forwards a public port. */
  | "mappedPort"
  | "easyNat"
  /** A public port per peer, allocated sequentially. */
  | "countingNat"
  | "hardNat"
  /** No server answers by UDP. */
  | "udpBlocked"
  | "unknown";

export type Remedy =
  | "none"
  /** UPnP, NAT-PMP or PCP on the router, or a port opened by hand: at this side, or at the peer's. */
  | "openPortHere"
  | "openPortThere"
  /** A relay that both sides can reach. */
  | "relay"
  /** A relay that is reached by TCP or TLS. */
  | "relayByTcp"
  /** Running without --no-spray. */
  | "spray"
  /** More STUN servers. */
  | "moreStun";

export interface Verdict {
  readonly standing: Standing;
  readonly remedy: Remedy;
}

export interface Prediction {
  readonly path: PathKind;
  readonly outcome: Forecast["outcome"];
  /** The technique or obstacle that decides it. */
  readonly reason: "sameNetwork" | "ipv6" | "reachable" | "udpBlocked" | Forecast["technique"];
  readonly remedy: Remedy;
}

/** The standing of a side, and what would help it. */
export function judge(side: Side): Verdict {
  const standing = standingOf(side);
  switch (standing) {
    case "udpBlocked":
      return { standing, remedy: "relayByTcp" };
    case "hardNat":
    case "countingNat":
      return { standing, remedy: isBehindCarrier(side) ? "relay" : "openPortHere" };
    case "unknown":
      return { standing, remedy: "moreStun" };
    default:
      return { standing, remedy: "none" };
  }
}

/** Predicts the link between two sides. @param allowSpray as `--no-spray` sets it */
export function predict(local: Side, peer: Side, allowSpray = true): Prediction {
  if (shareNetwork(local, peer)) return likely("lan", "sameNetwork");
  if (hasGlobalV6(local) && hasGlobalV6(peer)) return likely("direct", "ipv6");
  const standings = [standingOf(local), standingOf(peer)];
  if (standings.includes("udpBlocked")) {
    return { path: "relay", outcome: "likely", reason: "udpBlocked", remedy: "relayByTcp" };
  }
  if (standings.includes("open") || standings.includes("mappedPort")) return likely("direct", "reachable");
  const { technique, outcome, obstacle } = forecast(local.behaviour, peer.behaviour, allowSpray);
  const path = technique === "relay" ? "relay" : "direct";
  if (outcome === "likely" && path === "direct") return likely(path, technique);
  if (outcome === "unknown") return { path, outcome, reason: technique, remedy: "moreStun" };
  if (!allowSpray && forecast(local.behaviour, peer.behaviour).technique === "birthday") {
    return { path, outcome, reason: technique, remedy: "spray" };
  }
  return { path, outcome, reason: technique, remedy: remedyFor(local, peer, obstacle) };
}

function likely(path: Prediction["path"], reason: Prediction["reason"]): Prediction {
  return { path, outcome: "likely", reason, remedy: "none" };
}

function standingOf({ behaviour, candidates }: Side): Standing {
  if (candidates.some(({ kind }) => kind === "portMapped")) return "mappedPort";
  const reflexive = candidates.filter(({ kind, family }) => kind === "serverReflexive" && family === 4);
  const isLocal = candidates.some(
    ({ kind, family, address }) => kind === "host" && family === 4 && addressScope(address) === "global",
  );
  if (isLocal && behaviour.filtering === "endpointIndependent") return "open";
  if (reflexive.length === 0)
    return isLocal || hasGlobalV6({ behaviour, candidates }) ? "unknown" : "udpBlocked";
  if (behaviour.mapping === "unknown") return "unknown";
  if (behaviour.isHard) return "hardNat";
  if (behaviour.mapping !== "endpointIndependent") return "countingNat";
  return isLocal ? "firewall" : "easyNat";
}

/** The side whose router can help; a carrier-grade NAT takes no requests. */
function remedyFor(local: Side, peer: Side, obstacle: Forecast["obstacle"]): Remedy {
  if (obstacle !== "b" && !isBehindCarrier(local)) return "openPortHere";
  if (obstacle !== "a" && !isBehindCarrier(peer)) return "openPortThere";
  return "relay";
}

/** Whether the provider runs a NAT, as far as it shows: its address range, or ports from a block. */
function isBehindCarrier({ behaviour, candidates }: Side): boolean {
  return (
    behaviour.portBlock !== undefined || candidates.some(({ address }) => addressScope(address) === "shared")
  );
}

/** Whether both are seen at one public address and have addresses of the same network. */
function shareNetwork(local: Side, peer: Side): boolean {
  const publicOf = ({ candidates }: Side): string[] =>
    candidates.filter(({ kind }) => kind === "serverReflexive").map(({ address }) => address);
  const hostsOf = ({ candidates }: Side): string[] =>
    candidates
      .filter(({ kind, isTunnel }) => kind === "host" && isTunnel !== true)
      .map(({ address }) => address);
  const [ours, theirs] = [publicOf(local), publicOf(peer)];
  // Half of the world's homes use 192.168.1: without a common public address that proves nothing.
  const isOneRouter =
    ours.some((address) => theirs.includes(address)) || (ours.length === 0 && theirs.length === 0);
  if (!isOneRouter) return false;
  return hostsOf(local).some((one) => hostsOf(peer).some((other) => isOnSameSite(one, other)));
}

function hasGlobalV6({ candidates }: Side): boolean {
  return candidates.some(
    ({ family, address, isTunnel }) =>
      family === 6 && isTunnel !== true && addressScope(address) === "global",
  );
}

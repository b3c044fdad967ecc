/** Which pairs come of the local sockets and the other side's candidates. */
import type { PathKind } from "../base/path.ts";
import type { Candidate } from "../wire/candidate-codec.ts";
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";
import { addressScope, isPlausible } from "./address-scope.ts";
import { candidateRank, inPreferenceOrder, pathKindTo } from "./candidate.ts";
import type { LocalSocket } from "./punch-events.ts";
import type { Route } from "./transactions.ts";

/** A pair, before anything is known of it. */
export interface Target extends Route {
  readonly family: 4 | 6;
  readonly path: PathKind;
  readonly isTunnel: boolean;
  /** A guess at a port, worth a few packets only. */
  readonly isPredicted: boolean;
  /**
   * The other side's NAT must see that side's own packet first, so this pair begins with low-TTL openings. False
   * where nothing on the way rewrites ports: the own site, IPv6, relays.
   */
  readonly isGuarded: boolean;
  /** The smaller, the sooner. */
  readonly rank: number;
}

/** Behind every candidate's own rank: a relay of ours is tried last. */
const OWN_RELAY_RANK = 8;

/**
 * The pairs of one local socket, best first.
 *
 * @param locals all sockets, for the own addresses
 * @param isMoving one's own NAT has another port for each remote. What is private, but not on the very network one
 *   is on, goes out through that NAT as everything else, and the ports that were foretold would be off by one
 */
export function targetsOf(
  local: LocalSocket,
  locals: Iterable<LocalSocket>,
  candidates: readonly Candidate[],
  isMoving: boolean,
): Target[] {
  if (local.purpose === "birthday") return [];
  if (local.onlyPeer !== undefined) {
    const { address, port } = local.onlyPeer;
    const relayed: Candidate = { kind: "relayed", address, port, family: local.family };
    return [targetOf(local, [], relayed)];
  }
  const hosts = ownHosts(locals);
  const isWanted = ({ address, port }: Candidate): boolean => {
    // What has a meaning on one's own site only has none where a relay stands.
    if (local.kind === "relay") return port > 0 && addressScope(address) === "global";
    const reach = isMoving ? "network" : "site";
    return isPlausible(address, port, hosts, reach);
  };
  return inPreferenceOrder(candidates)
    .filter((candidate) => candidate.family === local.family && candidate.kind !== "peerReflexive")
    .filter(isWanted)
    .map((candidate) => targetOf(local, hosts, candidate));
}

/**
 * Candidates without those that lead nowhere: where each remote sees another port, the one that a STUN server saw is
 * nobody else's. A packet there does harm even: it uses up a port of one's own NAT, and the other side counts on them.
 */
export function usefulCandidates(candidates: readonly Candidate[], nat: NatBehaviour): readonly Candidate[] {
  const isMoving = nat.mapping === "addressAndPortDependent" && nat.filtering !== "endpointIndependent";
  if (!isMoving || !candidates.some(({ kind }) => kind === "predicted")) return candidates;
  return candidates.filter(({ kind }) => kind !== "serverReflexive");
}

/** The pair of a local socket and an address that a genuine check came from; undefined for what cannot be answered. */
export function heardTarget(
  local: LocalSocket,
  locals: Iterable<LocalSocket>,
  address: string,
  port: number,
): Target | undefined {
  const peer: Candidate = { kind: "peerReflexive", address, port, family: local.family };
  const isRelay = local.onlyPeer?.address === address;
  if (!isRelay && (port < 1 || addressScope(address) === "unusable")) return undefined;
  return targetOf(local, ownHosts(locals), peer);
}

/** Where the easy side of a pair is to be found from outside: at most two public addresses of IPv4. */
export function publicTargets(candidates: readonly Candidate[]): Candidate[] {
  return inPreferenceOrder(candidates)
    .filter(({ kind, family, address }) => {
      const isOwn = kind !== "relayed" && kind !== "predicted";
      return isOwn && family === 4 && addressScope(address) === "global";
    })
    .slice(0, 2);
}

function targetOf(local: LocalSocket, hosts: readonly Candidate[], remote: Candidate): Target {
  const path = local.kind === "relay" ? "relay" : pathKindTo(remote, hosts);
  const isTunnel = remote.isTunnel === true;
  return {
    socket: local.socket,
    family: local.family,
    address: remote.address,
    port: remote.port,
    path,
    isTunnel,
    isPredicted: remote.kind === "predicted",
    isGuarded: path === "direct" && local.family === 4 && !isTunnel,
    rank: local.kind === "relay" ? OWN_RELAY_RANK : candidateRank(remote),
  };
}

function ownHosts(locals: Iterable<LocalSocket>): Candidate[] {
  const hosts: Candidate[] = [];
  for (const { kind, candidates } of locals)
    if (kind === "udp") hosts.push(...candidates.filter((candidate) => candidate.kind === "host"));
  return hosts;
}

/** The pairs that the local sockets and the peer's candidates form. */
import type { PathKind } from "../base/path.ts";
import type { Candidate } from "../wire/candidate-codec.ts";
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";
import { addressScope, isPlausible } from "./address-scope.ts";
import { candidateRank, inPreferenceOrder, pathKindTo } from "./candidate.ts";
import type { LocalSocket } from "./punch-events.ts";
import type { Route } from "./transactions.ts";

/** A pair, before it has any state. */
export interface Target extends Route {
  readonly family: 4 | 6;
  readonly path: PathKind;
  readonly isTunnel: boolean;
  /** A predicted port, worth only a few packets. */
  readonly isPredicted: boolean;
  /**
   * The peer's NAT must see a packet of the peer first, so this pair begins with low-TTL openings.
   * False if nothing on the path rewrites ports: the local site, IPv6, relays.
   */
  readonly isGuarded: boolean;
  /** Lower ranks are tried first. */
  readonly rank: number;
}

/** After the rank of every candidate: a local relay is tried last. */
const LOCAL_RELAY_RANK = 8;

/**
 * The pairs of one local socket, best first.
 *
 * @param locals all sockets, for the local addresses
 * @param isMoving whether the local NAT assigns another port for each remote address. A private
 * address that is not on a local network is then skipped: packets to it would pass that NAT and
 * shift its predicted ports by one.
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
  const hosts = localHosts(locals);
  const isWanted = ({ address, port }: Candidate): boolean => {
    // A site-local address means nothing at the relay's location.
    if (local.kind === "relay") return port > 0 && addressScope(address) === "global";
    const context = isMoving ? "network" : "site";
    return isPlausible(address, port, hosts, context);
  };
  return inPreferenceOrder(candidates)
    .filter((candidate) => candidate.family === local.family && candidate.kind !== "peerReflexive")
    .filter(isWanted)
    .map((candidate) => targetOf(local, hosts, candidate));
}

/**
 * Removes useless candidates. If each remote address sees another port, the port that a STUN server
 * saw is valid for that server only. A packet to it is even harmful: it uses up a port of the local
 * NAT, and the peer's prediction counts these.
 */
export function usefulCandidates(candidates: readonly Candidate[], nat: NatBehaviour): readonly Candidate[] {
  const isMoving = nat.mapping === "addressAndPortDependent" && nat.filtering !== "endpointIndependent";
  if (!isMoving || !candidates.some(({ kind }) => kind === "predicted")) return candidates;
  return candidates.filter(({ kind }) => kind !== "serverReflexive");
}

/**
 * The pair of a local socket and the source address of a genuine check; undefined if the address
 * cannot be answered.
 */
export function peerReflexiveTarget(
  local: LocalSocket,
  locals: Iterable<LocalSocket>,
  address: string,
  port: number,
): Target | undefined {
  const peer: Candidate = { kind: "peerReflexive", address, port, family: local.family };
  const isRelay = local.onlyPeer?.address === address;
  if (!isRelay && (port < 1 || addressScope(address) === "unusable")) return undefined;
  return targetOf(local, localHosts(locals), peer);
}

/** The easy peer's public addresses: at most two IPv4 addresses. */
export function publicTargets(candidates: readonly Candidate[]): Candidate[] {
  return inPreferenceOrder(candidates)
    .filter(({ kind, family, address }) => {
      const isDirect = kind !== "relayed" && kind !== "predicted";
      return isDirect && family === 4 && addressScope(address) === "global";
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
    rank: local.kind === "relay" ? LOCAL_RELAY_RANK : candidateRank(remote),
  };
}

function localHosts(locals: Iterable<LocalSocket>): Candidate[] {
  const hosts: Candidate[] = [];
  for (const { kind, candidates } of locals)
    if (kind === "udp") hosts.push(...candidates.filter((candidate) => candidate.kind === "host"));
  return hosts;
}

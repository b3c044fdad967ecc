/**
 * Candidates: the order in which they are tried, and the kind of path that a pair of them forms.
 */
import type { PathKind } from "../base/path.ts";
import type { Candidate } from "../wire/candidate-codec.ts";
import { addressScope, isOnSameSite } from "./address-scope.ts";

export type { Candidate } from "../wire/candidate-codec.ts";

/** Lower ranks are tried first: LAN, global IPv6, public IPv4, predicted ports, tunnels, relays. */
export function candidateRank(candidate: Candidate): number {
  if (candidate.kind === "relayed") return 7;
  if (candidate.isTunnel === true) return 6;
  if (candidate.kind === "predicted") return 5;
  const scope = addressScope(candidate.address);
  if (scope === "private" || scope === "linkLocal" || scope === "loopback") return 0;
  if (candidate.family === 6) return 1;
  if (scope === "shared") return 4;
  return candidate.kind === "portMapped" || candidate.kind === "host" ? 2 : 3;
}

/** Sorts by preference and removes duplicates. Candidates of equal rank keep their order. */
export function inPreferenceOrder(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Set<string>();
  const unique = candidates.filter((candidate) => {
    const key = `${candidate.address} ${candidate.port}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
  return unique.sort((a, b) => candidateRank(a) - candidateRank(b));
}

/** The kind of the path to `remote` from a plain socket of a host with these local addresses. */
export function pathKindTo(remote: Candidate, localHosts: readonly Candidate[]): PathKind {
  if (remote.kind === "relayed") return "relay";
  if (remote.isTunnel === true) return "direct";
  return localHosts.some((local) => local.isTunnel !== true && isOnSameSite(local.address, remote.address))
    ? "lan"
    : "direct";
}

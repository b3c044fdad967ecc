/** What each pair of NATs is held to: `docs/nat-traversal.md`, pair by pair. */
import type { NatTypeName } from "./nat-types.ts";

/** `either`: no direct path can be promised; both that and a relayed link are right. */
export type Expectation = "direct" | "relay" | "either";

/** No port that such a NAT will give can be foretold. */
const HARD: readonly NatTypeName[] = ["symmetric", "port-block"];

export function expectedPath(one: NatTypeName, other: NatTypeName): Expectation {
  const pair = [one, other];
  const isHard = (name: NatTypeName): boolean => HARD.includes(name);
  if (pair.includes("udp-blocked")) return "relay";
  if (pair.every(isHard)) return "relay";
  // Each guess of one side moves on the counter that the other one guesses; chance decides.
  if (pair.every((name) => isHard(name) || name === "sequential")) return "either";
  return "direct";
}

/** How many tries a pair gets: more where a direct path is to be had and chance is at work. */
export function wantedTries(
  one: NatTypeName,
  other: NatTypeName,
  wanted: { few: number; many: number },
): number {
  const hasChance = [one, other].some((name) => name === "symmetric" || name === "sequential");
  return hasChance && expectedPath(one, other) === "direct" ? wanted.many : wanted.few;
}

/** Of the tries of a pair whose expectation is direct, the share that must be so. */
export function neededDirectShare(one: NatTypeName, other: NatTypeName): number {
  const pair = [one, other];
  // Birthday probing: 256 sockets against a filter that wants the very port.
  if (pair.includes("symmetric") && !pair.some((name) => EASY_FILTERS.includes(name))) return 0.9;
  return pair.some((name) => name === "symmetric" || name === "sequential") ? 0.95 : 1;
}

const EASY_FILTERS: readonly NatTypeName[] = ["none", "full-cone", "address-restricted"];

/**
 * What two NATs mean for a pair of peers: the technique that the agent uses, and the expected
 * outcome. `docs/nat-traversal.md` has the table with the measurements.
 */
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

export type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

/** How to establish a direct path. */
export type Technique = "simultaneous" | "predictedPorts" | "birthday" | "relay";

export interface Forecast {
  readonly technique: Technique;
  /** `likely`: nearly always; `chance`: by luck, within seconds; `unlikely`: a relay is needed. */
  readonly outcome: "likely" | "chance" | "unlikely" | "unknown";
  /**
   * The peer whose NAT is the obstacle, if one is; `both` if only the combination of the two is.
   */
  readonly obstacle: "none" | "a" | "b" | "both";
}

/**
 * The forecast for a pair of NATs over IPv4. It is symmetric except for the names in `obstacle`.
 *
 * @param allowSpray whether the many small packets of birthday probing are allowed
 */
export function forecast(a: NatBehaviour, b: NatBehaviour, allowSpray = true): Forecast {
  if (a.mapping === "unknown" || b.mapping === "unknown") {
    const obstacle = a.mapping !== "unknown" ? "b" : b.mapping !== "unknown" ? "a" : "both";
    return { technique: "simultaneous", outcome: "unknown", obstacle };
  }
  if (isEasy(a) && isEasy(b)) return { technique: "simultaneous", outcome: "likely", obstacle: "none" };
  // A NAT that filters by address only admits the peer's packets from any port, so its host answers
  // to that port.
  if (isEasy(a) && a.filtering !== "addressAndPortDependent" && a.filtering !== "unknown")
    return { technique: "simultaneous", outcome: "likely", obstacle: "none" };
  if (isEasy(b) && b.filtering !== "addressAndPortDependent" && b.filtering !== "unknown")
    return { technique: "simultaneous", outcome: "likely", obstacle: "none" };
  if (a.isHard && b.isHard) return { technique: "relay", outcome: "unlikely", obstacle: "both" };
  if (!a.isHard && !b.isHard) {
    const areBothMoving = !isEasy(a) && !isEasy(b);
    return areBothMoving
      ? { technique: "predictedPorts", outcome: "chance", obstacle: "both" }
      : { technique: "predictedPorts", outcome: "likely", obstacle: isEasy(a) ? "b" : "a" };
  }
  const obstacle = a.isHard ? "a" : "b";
  // Against NATs with sequential ports, birthday probing is too unlikely to succeed to be worth
  // 2048 packets.
  if (!isEasy(a.isHard ? b : a)) return { technique: "relay", outcome: "unlikely", obstacle: "both" };
  return allowSpray
    ? { technique: "birthday", outcome: "likely", obstacle }
    : { technique: "relay", outcome: "unlikely", obstacle };
}

/**
 * Whether one public port serves all remote addresses, so that a published candidate stays valid.
 */
function isEasy(nat: NatBehaviour): boolean {
  return nat.mapping === "endpointIndependent";
}

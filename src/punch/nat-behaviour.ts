/**
 * What two NATs mean for each other: which technique the agent uses for a pair of them, and what may be expected.
 * `docs/nat-traversal.md` has the table with what was measured.
 */
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

export type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

/** How a direct path is sought. */
export type Technique = "simultaneous" | "predictedPorts" | "birthday" | "relay";

export interface Forecast {
  readonly technique: Technique;
  /** `likely`: nearly always; `chance`: by luck, in seconds; `unlikely`: a relay has to carry it. */
  readonly outcome: "likely" | "chance" | "unlikely" | "unknown";
  /** The side that stands in the way, where it is one of the two; `both` where neither alone would. */
  readonly obstacle: "none" | "a" | "b" | "both";
}

/**
 * What becomes of a pair of NATs over IPv4; symmetric but for the names in `obstacle`.
 *
 * @param allowSpray whether the many small packets of birthday probing are allowed
 */
export function forecast(a: NatBehaviour, b: NatBehaviour, allowSpray = true): Forecast {
  if (a.mapping === "unknown" || b.mapping === "unknown") {
    const obstacle = a.mapping !== "unknown" ? "b" : b.mapping !== "unknown" ? "a" : "both";
    return { technique: "simultaneous", outcome: "unknown", obstacle };
  }
  if (isEasy(a) && isEasy(b)) return { technique: "simultaneous", outcome: "likely", obstacle: "none" };
  // One whose filter asks for the address only hears the other from whatever port, and answers there.
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
  // Against ports that count up the odds of birthday probing are too small to be worth 2048 packets.
  if (!isEasy(a.isHard ? b : a)) return { technique: "relay", outcome: "unlikely", obstacle: "both" };
  return allowSpray
    ? { technique: "birthday", outcome: "likely", obstacle }
    : { technique: "relay", outcome: "unlikely", obstacle };
}

/** Whether one public port serves all remotes, so that a published candidate stays true. */
function isEasy(nat: NatBehaviour): boolean {
  return nat.mapping === "endpointIndependent";
}

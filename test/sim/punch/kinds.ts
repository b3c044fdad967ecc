/** The kinds of NAT that the lab builds from real kernels, here as models, and what a gatherer would say of each. */
import type { Dependence, NatBehaviour } from "../../../src/wire/nat-behaviour-codec.ts";
import { BLOCK, type NatKind } from "./nat-box.ts";

export const PORT_RESTRICTED: NatKind = {
  mapping: "endpointIndependent",
  filtering: "addressAndPortDependent",
  ports: "preserved",
};
const SYMMETRIC: NatKind = {
  mapping: "addressAndPortDependent",
  filtering: "addressAndPortDependent",
  ports: "random",
};

/** By name, the NATs of a site from the host outwards. */
export const KINDS = {
  "no NAT": [],
  "full cone": [{ ...PORT_RESTRICTED, filtering: "endpointIndependent" }],
  "address-restricted": [{ ...PORT_RESTRICTED, filtering: "addressDependent" }],
  "port-restricted": [PORT_RESTRICTED],
  "port not preserved": [{ ...PORT_RESTRICTED, ports: "shifted" }],
  symmetric: [SYMMETRIC],
  sequential: [{ ...SYMMETRIC, ports: "sequential" }],
  "port-block CGN": [{ ...SYMMETRIC, ports: "block" }],
  "double NAT": [PORT_RESTRICTED, PORT_RESTRICTED],
  "poison-prone": [{ ...PORT_RESTRICTED, isPoisonProne: true }],
  "UDP blocked": [{ ...PORT_RESTRICTED, isBlocked: true }],
} satisfies Record<string, readonly NatKind[]>;
export type KindName = keyof typeof KINDS;
export const KIND_NAMES = Object.keys(KINDS) as KindName[];

const ORDER: readonly Dependence[] = ["endpointIndependent", "addressDependent", "addressAndPortDependent"];

/** What a chain of NATs looks like from outside. */
export function behaviourOf(nats: readonly NatKind[]): NatBehaviour {
  if (nats.some((nat) => nat.isBlocked === true))
    return { mapping: "unknown", filtering: "unknown", portPattern: "unknown", isHard: false };
  const worst = (of: (nat: NatKind) => Dependence): Dependence =>
    ORDER[Math.max(0, ...nats.map((nat) => ORDER.indexOf(of(nat))))]!;
  const mapping = worst((nat) => nat.mapping);
  const ports = nats.at(-1)?.ports ?? "preserved";
  const isHard = mapping !== "endpointIndependent" && (ports === "random" || ports === "block");
  return {
    mapping,
    filtering: worst((nat) => nat.filtering),
    portPattern: isHard ? "random" : ports === "sequential" || ports === "preserved" ? ports : "consistent",
    ...(ports === "sequential" ? { portStep: 1 } : {}),
    ...(ports === "block" ? { portBlock: BLOCK } : {}),
    isHard,
  };
}

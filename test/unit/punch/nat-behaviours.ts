/** The two NATs that decide how hard a punch is: one that keeps a socket's port for everybody, and one that does not. */
import type { NatBehaviour } from "../../../src/wire/nat-behaviour-codec.ts";

export const EASY: NatBehaviour = {
  mapping: "endpointIndependent",
  filtering: "addressAndPortDependent",
  portPattern: "preserved",
  isHard: false,
};
export const HARD: NatBehaviour = {
  ...EASY,
  mapping: "addressAndPortDependent",
  portPattern: "random",
  isHard: true,
};

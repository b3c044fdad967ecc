/**
 * Noise handshake patterns as token tables, in the notation of the specification.
 *
 * The initiator sends the first message; then the sides alternate. A pattern with a `psk` token
 * also mixes each ephemeral key into the chaining key (Noise rev 34 §9.2); the code that runs a
 * table has to do so.
 *
 * Read first: Noise rev 34 §7.
 */

/** One step of a message. */
export type NoiseToken = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

/** The static keys that both sides know beforehand, and the tokens of each message. */
export interface NoisePatternTable {
  readonly knownInitiator: boolean;
  readonly knownResponder: boolean;
  readonly messages: readonly (readonly NoiseToken[])[];
}

/** Name of a pattern, as it appears in the protocol name. */
export type NoisePattern = "NN" | "NNpsk0" | "XX" | "XXpsk0" | "XXpsk3" | "KK" | "IK";

/** The table of each pattern. */
export const NOISE_PATTERNS: Readonly<Record<NoisePattern, NoisePatternTable>> = {
  NN: {
    knownInitiator: false,
    knownResponder: false,
    messages: [["e"], ["e", "ee"]],
  },
  NNpsk0: {
    knownInitiator: false,
    knownResponder: false,
    messages: [
      ["psk", "e"],
      ["e", "ee"],
    ],
  },
  XX: {
    knownInitiator: false,
    knownResponder: false,
    messages: [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
  },
  XXpsk0: {
    knownInitiator: false,
    knownResponder: false,
    messages: [
      ["psk", "e"],
      ["e", "ee", "s", "es"],
      ["s", "se"],
    ],
  },
  XXpsk3: {
    knownInitiator: false,
    knownResponder: false,
    messages: [["e"], ["e", "ee", "s", "es"], ["s", "se", "psk"]],
  },
  KK: {
    knownInitiator: true,
    knownResponder: true,
    messages: [
      ["e", "es", "ss"],
      ["e", "ee", "se"],
    ],
  },
  IK: {
    knownInitiator: false,
    knownResponder: true,
    messages: [
      ["e", "es", "s", "ss"],
      ["e", "ee", "se"],
    ],
  },
};

/** Arbitrary candidates, NATs and signals for the codecs' tests. */
import fc from "fast-check";
import { CANDIDATE_KINDS, type Candidate } from "../../../src/wire/candidate-codec.ts";
import { ipFromBytes } from "../../../src/wire/ip-address.ts";
import { DEPENDENCES, type NatBehaviour, PORT_PATTERNS } from "../../../src/wire/nat-behaviour-codec.ts";
import type { Signal } from "../../../src/wire/signal.ts";

const port = fc.integer({ min: 1, max: 65535 });

export const anyCandidate: fc.Arbitrary<Candidate> = fc
  .tuple(
    fc.constantFrom(...CANDIDATE_KINDS),
    fc.constantFrom<4 | 6>(4, 6),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    port,
    fc.boolean(),
  )
  .map(([kind, family, bytes, port, isTunnel]) => ({
    kind,
    address: ipFromBytes(family === 4 ? bytes.subarray(0, 4) : bytes),
    port,
    family,
    ...(isTunnel ? { isTunnel } : {}),
  }));

export const anyBehaviour: fc.Arbitrary<NatBehaviour> = fc
  .record({
    mapping: fc.constantFrom(...DEPENDENCES),
    filtering: fc.constantFrom(...DEPENDENCES),
    portPattern: fc.constantFrom(...PORT_PATTERNS),
    portStep: fc.option(
      fc.integer({ min: -300, max: 300 }).filter((step) => step !== 0),
      { nil: undefined },
    ),
    ports: fc.option(fc.tuple(port, port), { nil: undefined }),
    hairpin: fc.option(fc.boolean(), { nil: undefined }),
    isHard: fc.boolean(),
  })
  .map(({ mapping, filtering, portPattern, portStep, ports, hairpin, isHard }) => ({
    mapping,
    filtering,
    portPattern,
    ...(portStep === undefined ? {} : { portStep }),
    ...(ports === undefined ? {} : { portBlock: { low: Math.min(...ports), high: Math.max(...ports) } }),
    ...(hairpin === undefined ? {} : { hairpin }),
    isHard,
  }));

export function anySignal(mostCandidates: number): fc.Arbitrary<Signal> {
  return fc.record({
    role: fc.constantFrom("initiator", "responder"),
    generation: fc.integer({ min: 1, max: 65535 }),
    attempt: fc.integer({ min: 1, max: 4 }),
    sessionNonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    sentAtS: fc.integer({ min: 0, max: 2 ** 40 }),
    nat: anyBehaviour,
    candidates: fc.array(anyCandidate, { maxLength: mostCandidates }),
    hasOpened: fc.boolean(),
  });
}

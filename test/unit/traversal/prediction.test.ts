import { describe, expect, it } from "vitest";
import { judge, predict, type Side } from "../../../src/traversal/doctor/prediction.ts";
import type { Candidate, CandidateKind } from "../../../src/wire/candidate-codec.ts";
import type { NatBehaviour } from "../../../src/wire/nat-behaviour-codec.ts";
import { EASY, HARD } from "../punch/nat-behaviours.ts";

const COUNTING: NatBehaviour = { ...HARD, portPattern: "sequential", portStep: 1, isHard: false };
const SILENT: NatBehaviour = {
  mapping: "unknown",
  filtering: "unknown",
  portPattern: "unknown",
  isHard: false,
};

function candidate(kind: CandidateKind, address: string): Candidate {
  return { kind, address, port: 5000, family: address.includes(":") ? 6 : 4 };
}

/** A side at home number `home`, behind a router of that number. */
function side(behaviour: NatBehaviour, home: number, ...more: readonly Candidate[]): Side {
  // The constant itself stands for silence; a copy of it for answers that were too few.
  const seen = behaviour === SILENT ? [] : [candidate("serverReflexive", `198.51.100.${home}`)];
  return { behaviour, candidates: [candidate("host", "192.168.1.2"), ...seen, ...more] };
}

describe("one side", () => {
  it("stands as its NAT lets it, and is told what its router could do", () => {
    expect(judge(side(EASY, 1))).toEqual({ standing: "easyNat", remedy: "none" });
    expect(judge(side(HARD, 1))).toEqual({ standing: "hardNat", remedy: "openPortHere" });
    expect(judge(side(COUNTING, 1))).toEqual({ standing: "countingNat", remedy: "openPortHere" });
    expect(judge(side(SILENT, 1))).toEqual({ standing: "udpBlocked", remedy: "relayByTcp" });
    expect(judge(side(HARD, 1, candidate("portMapped", "198.51.100.1")))).toEqual({
      standing: "mappedPort",
      remedy: "none",
    });
  });

  it("behind a provider's NAT has no router to ask", () => {
    expect(judge(side(HARD, 1, candidate("host", "100.64.0.9"))).remedy).toBe("relay");
    expect(judge(side({ ...HARD, portBlock: { low: 40_000, high: 41_000 } }, 1)).remedy).toBe("relay");
  });

  it("without a NAT is open or behind a firewall, as its filter has it", () => {
    const candidates = [candidate("host", "203.0.113.1"), candidate("serverReflexive", "203.0.113.1")];
    expect(judge({ behaviour: EASY, candidates }).standing).toBe("firewall");
    const behaviour: NatBehaviour = { ...EASY, filtering: "endpointIndependent" };
    expect(judge({ behaviour, candidates }).standing).toBe("open");
  });

  it("of which too little is known says so", () => {
    expect(judge(side({ ...SILENT }, 1))).toEqual({ standing: "unknown", remedy: "moreStun" });
  });
});

describe("a pair", () => {
  const direct = { path: "direct", outcome: "likely", remedy: "none" };

  it("goes as its NATs let it", () => {
    expect(predict(side(EASY, 1), side(EASY, 2))).toMatchObject({ ...direct, reason: "simultaneous" });
    expect(predict(side(COUNTING, 1), side(EASY, 2))).toMatchObject({ ...direct, reason: "predictedPorts" });
    expect(predict(side(HARD, 1), side(EASY, 2))).toMatchObject({ ...direct, reason: "birthday" });
    expect(predict(side(HARD, 1), side(HARD, 2))).toMatchObject({ path: "relay", outcome: "unlikely" });
  });

  it("is told the one thing that would help, at the side that can do it", () => {
    const channel = candidate("host", "100.64.0.9");
    expect(predict(side(HARD, 1), side(HARD, 2)).remedy).toBe("openPortHere");
    expect(predict(side(HARD, 1, channel), side(HARD, 2)).remedy).toBe("openPortThere");
    expect(predict(side(HARD, 1, channel), side(HARD, 2, channel)).remedy).toBe("relay");
    expect(predict(side(HARD, 1), side(EASY, 2), false)).toMatchObject({ path: "relay", remedy: "spray" });
    expect(predict(side(SILENT, 1), side(EASY, 2))).toMatchObject({ path: "relay", remedy: "relayByTcp" });
  });

  it("goes past hard NATs by IPv6, by a mapped port, and within one network", () => {
    const v6 = [candidate("host", "2001:db8:1::1"), candidate("host", "2001:db8:2::1")] as const;
    expect(predict(side(HARD, 1, v6[0]), side(HARD, 2, v6[1]))).toMatchObject({ ...direct, reason: "ipv6" });
    expect(predict(side(HARD, 1, v6[0]), side(HARD, 2)).path).toBe("relay");
    const mapped = candidate("portMapped", "198.51.100.1");
    expect(predict(side(HARD, 1, mapped), side(HARD, 2))).toMatchObject({ ...direct, reason: "reachable" });
    expect(predict(side(HARD, 1), side(HARD, 1))).toMatchObject({ path: "lan", outcome: "likely" });
  });

  it("of two homes with the same private addresses is no network of one", () => {
    expect(predict(side(EASY, 1), side(EASY, 2)).path).toBe("direct");
  });

  it("promises nothing of what is not known", () => {
    expect(predict(side({ ...SILENT }, 1), side(EASY, 2))).toMatchObject({
      outcome: "unknown",
      remedy: "moreStun",
    });
  });
});

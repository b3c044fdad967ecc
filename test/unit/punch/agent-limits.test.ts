/** What a liar can get out of an agent, and what an agent takes from strangers: nothing. */
import { describe, expect, it } from "vitest";
import { checkMac } from "../../../src/crypto/check-mac.ts";
import { PunchAgent } from "../../../src/punch/agent.ts";
import type { PunchEvent, PunchOptions, PunchTransmit } from "../../../src/punch/punch-events.ts";
import type { Candidate } from "../../../src/wire/candidate-codec.ts";
import { CHECK_BYTES, type Check, decodeCheck, encodeCheck } from "../../../src/wire/check.ts";
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../../../src/wire/nat-behaviour-codec.ts";
import { Random } from "../../sim/random.ts";
import { EASY, HARD } from "./nat-behaviours.ts";

const KEY = new Uint8Array(32).fill(4);
const mac = checkMac(KEY);
const VICTIM = "203.0.113.9";

interface Sent extends PunchTransmit {
  readonly atMs: number;
}

/** An agent alone, driven along its own timers. */
class Lone {
  readonly agent: PunchAgent;
  readonly sent: Sent[] = [];
  readonly events: PunchEvent[] = [];
  nowMs = 500;

  constructor(options: Partial<PunchOptions> = {}) {
    const random = new Random(1, "lone");
    this.agent = new PunchAgent({
      role: "initiator",
      checkKey: KEY,
      random: (byteLength) => random.bytes(byteLength),
      local: EASY,
      allowSpray: true,
      ...options,
    });
    const host: Candidate = { kind: "host", address: "192.168.1.2", port: 5000, family: 4 };
    this.agent.addLocal(this.nowMs, { socket: 0, family: 4, kind: "udp", candidates: [host] });
  }

  remote(candidates: readonly Candidate[], nat: NatBehaviour = UNKNOWN_BEHAVIOUR): void {
    this.agent.setRemote(this.nowMs, { candidates, nat, generation: 1, attempt: 1, hasOpened: true });
    this.drain();
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    for (;;) {
      const nextMs = Math.max(this.agent.pollTimeout(), this.nowMs);
      if (nextMs > endMs) break;
      this.nowMs = Math.max(nextMs, this.nowMs);
      this.agent.handleTimeout(this.nowMs);
      this.drain();
    }
    this.nowMs = endMs;
  }

  receive(check: Check, address = VICTIM, port = 9, socket = 0): boolean {
    return this.receiveBytes(encodeCheck(check, mac), address, port, socket);
  }

  receiveBytes(bytes: Uint8Array, address = VICTIM, port = 9, socket = 0): boolean {
    const isTaken = this.agent.handleDatagram(this.nowMs, socket, address, port, bytes);
    this.drain();
    return isTaken;
  }

  drain(): void {
    const into: PunchTransmit = { socket: 0, address: "", port: 0, ttl: 0, bytes: new Uint8Array(0) };
    while (this.agent.pollTransmit(into)) this.sent.push({ ...into, atMs: this.nowMs });
    for (let event = this.agent.pollEvent(); event !== undefined; event = this.agent.pollEvent()) {
      this.events.push(event);
      if (event.kind !== "needSockets") continue;
      for (let i = 0; i < event.count; i++) {
        const socket = 1000 * event.generation + i + (event.purpose === "birthday" ? 1 : 0);
        const { purpose } = event;
        this.agent.addLocal(this.nowMs, { socket, family: 4, kind: "udp", candidates: [], purpose });
      }
    }
  }

  to(address: string): Sent[] {
    return this.sent.filter((one) => one.address === address);
  }
}

function candidate(port: number, kind: Candidate["kind"] = "serverReflexive", address = VICTIM): Candidate {
  return { kind, address, port, family: 4 };
}

function request(fill: number, role: Check["role"] = "responder"): Check {
  return { kind: "request", role, generation: 1, transaction: new Uint8Array(8).fill(fill) };
}

const MANY = Array.from({ length: 64 }, (_, i) => candidate(1000 + i));

describe("an address that never asked for anything", () => {
  it("gets at most 20 checks and 40 openings of 48 bytes because of a ticket, whatever it names", () => {
    for (const role of ["initiator", "responder"] as const) {
      const lone = new Lone({ role, isTicket: true });
      lone.remote(MANY, HARD);
      lone.run(3_600_000);
      const packets = lone.to(VICTIM);
      expect(packets.length).toBeGreaterThan(5);
      expect(packets.filter(({ ttl }) => ttl === 0).length).toBeLessThanOrEqual(20);
      expect(packets.length).toBeLessThanOrEqual(60);
      expect(packets.every(({ bytes }) => bytes.length === CHECK_BYTES)).toBe(true);
    }
  });

  it("gets at most 500 checks and 200 openings because of signals, and then one a second of either", () => {
    for (const role of ["initiator", "responder"] as const) {
      const lone = new Lone({ role });
      for (let generation = 1; generation < 60; generation++) {
        const signal = { candidates: MANY, nat: EASY, generation, attempt: 1, hasOpened: true };
        lone.agent.setRemote(lone.nowMs, signal);
        lone.drain();
        lone.run(11_000);
      }
      const seconds = 59 * 11;
      expect(lone.to(VICTIM).filter(({ ttl }) => ttl === 0).length).toBeLessThanOrEqual(500 + seconds);
      expect(lone.to(VICTIM).length).toBeLessThanOrEqual(700 + 2 * seconds);
    }
  });

  it("is sprayed with 2048 probes at most, none where spraying is off or a ticket named it", () => {
    const probes = (options: Partial<PunchOptions>): number => {
      const lone = new Lone(options);
      lone.remote([candidate(1000)], HARD);
      for (let generation = 2; generation < 12; generation++) {
        lone.run(10_000);
        lone.agent.setRemote(lone.nowMs, {
          candidates: [candidate(1000)],
          nat: HARD,
          generation,
          attempt: 1,
          hasOpened: true,
        });
        lone.drain();
      }
      return lone.to(VICTIM).filter(({ port }) => port !== 1000).length;
    };
    expect(probes({})).toBe(2048);
    expect(probes({ allowSpray: false })).toBe(0);
    expect(probes({ isTicket: true })).toBe(0);
  });

  it("is not reached at all where it is private, loopback, multicast or broadcast", () => {
    const lone = new Lone();
    const addresses = ["10.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.169.254", "0.0.0.0"];
    lone.remote(addresses.map((address) => candidate(9, "host", address)));
    lone.run(30_000);
    expect(lone.sent).toEqual([]);
  });

  it("gets no more because old requests are played back under its address", () => {
    const lone = new Lone();
    const bytes = encodeCheck(request(1), mac);
    lone.receiveBytes(bytes, "198.51.100.7", 7);
    for (let i = 0; i < 50; i++) lone.receiveBytes(bytes, VICTIM, 9);
    lone.run(5000);
    expect(lone.to(VICTIM)).toEqual([]);
  });
});

describe("the pace", () => {
  it("is 300 packets a second at most, whatever is to be sent", () => {
    const lone = new Lone({ local: HARD });
    lone.remote(MANY, EASY);
    let fill = 0;
    for (let i = 0; i < 4000; i++) {
      lone.receive(
        { ...request(0), transaction: Uint8Array.from([1, 2, 3, 4, 5, 6, fill >> 8, fill++]) },
        VICTIM,
        1000 + (i % 64),
      );
      lone.run(1);
    }
    let from = 0;
    let most = 0;
    for (let to = 0; to < lone.sent.length; to++) {
      while (lone.sent[to]!.atMs - lone.sent[from]!.atMs >= 1000) from++;
      most = Math.max(most, to - from + 1);
    }
    expect(lone.sent.length).toBeGreaterThan(900);
    expect(most).toBeLessThanOrEqual(300);
    expect(lone.agent.counts.withheldAnswers).toBeGreaterThan(0);
  });

  it("lets 64 pairs in, and no more", () => {
    const lone = new Lone();
    lone.remote(Array.from({ length: 64 }, (_, i) => candidate(1000 + i)));
    lone.remote(Array.from({ length: 64 }, (_, i) => candidate(3000 + i)));
    lone.run(2000);
    expect(new Set(lone.sent.map(({ port }) => port)).size).toBeLessThanOrEqual(64);
  });
});

describe("a stranger", () => {
  it("gets no answer: to another key, to nothing at all, or to the agent's own packets", () => {
    const lone = new Lone();
    expect(lone.receiveBytes(encodeCheck(request(1), checkMac(new Uint8Array(32))))).toBe(false);
    expect(lone.receiveBytes(new Uint8Array(CHECK_BYTES).fill(0xe8))).toBe(false);
    expect(lone.receiveBytes(new Uint8Array(0))).toBe(false);
    expect(lone.receive(request(1, "initiator"))).toBe(true);
    lone.run(5000);
    expect(lone.sent).toEqual([]);
    expect(lone.events).toEqual([]);
  });

  it("cannot answer for another address, nor with an answer to nothing", () => {
    const lone = new Lone();
    lone.remote([candidate(1000)]);
    lone.run(10);
    const { transaction } = decodeCheck(lone.sent[0]!.bytes, mac)!;
    const answer: Check = { kind: "response", role: "responder", generation: 1, transaction };
    lone.receive(answer, "198.51.100.7", 1000);
    lone.receive(answer, VICTIM, 1001);
    lone.receive({ ...answer, transaction: new Uint8Array(8) }, VICTIM, 1000);
    expect(lone.events).toEqual([]);
    lone.receive(answer, VICTIM, 1000);
    expect(lone.events).toMatchObject([{ kind: "pair", address: VICTIM, port: 1000, path: "direct" }]);
  });

  it("gets one answer of the same size from whoever has the key", () => {
    const lone = new Lone();
    lone.receive(request(1));
    expect(lone.sent[0]).toMatchObject({ address: VICTIM, port: 9, ttl: 0 });
    const answer = decodeCheck(lone.sent[0]!.bytes, mac);
    expect(answer).toMatchObject({
      kind: "response",
      role: "initiator",
      observed: { address: VICTIM, port: 9 },
    });
  });
});

describe("the order of things", () => {
  it("lets nothing go all the way before the other side has opened", () => {
    const goer = new Lone();
    goer.agent.setRemote(goer.nowMs, {
      candidates: [candidate(1000)],
      nat: EASY,
      generation: 1,
      attempt: 1,
      hasOpened: false,
    });
    goer.run(2900);
    expect(goer.sent).toEqual([]);
    goer.remote([candidate(1000)], EASY);
    goer.run(0);
    expect(goer.sent[0]).toMatchObject({ port: 1000, ttl: 0 });
  });

  it("opens before it answers, with a TTL that ends on the way, and goes when it hears the other", () => {
    const opener = new Lone({ role: "responder" });
    opener.agent.setRemote(opener.nowMs, {
      candidates: [candidate(1000)],
      nat: EASY,
      generation: 1,
      attempt: 1,
      hasOpened: false,
    });
    opener.run(900);
    expect(opener.events).toEqual([{ kind: "answerReady", generation: 1 }]);
    expect(opener.sent.length).toBeGreaterThan(3);
    expect(opener.sent.every(({ ttl }) => ttl > 0 && ttl <= 4)).toBe(true);
    opener.receive(request(1, "initiator"), VICTIM, 1000);
    expect(opener.sent.slice(-2).map(({ ttl }) => ttl)).toEqual([0, 0]);
  });

  it("does not wait where there is nothing to poison: the own site, and IPv6", () => {
    const lone = new Lone({ role: "responder" });
    const own: Candidate = { kind: "host", address: "2001:db8:1::2", port: 5000, family: 6 };
    lone.agent.addLocal(lone.nowMs, { socket: 1, family: 6, kind: "udp", candidates: [own] });
    const v6: Candidate = { kind: "host", address: "2001:db8:9::9", port: 7, family: 6 };
    lone.agent.setRemote(lone.nowMs, {
      candidates: [v6, candidate(8, "host", "192.168.1.9")],
      nat: EASY,
      generation: 1,
      attempt: 1,
      hasOpened: false,
    });
    lone.run(20);
    expect(lone.sent.slice(0, 2)).toMatchObject([
      { address: "192.168.1.9", ttl: 0 },
      { address: "2001:db8:9::9", ttl: 0 },
    ]);
  });

  it("prefers the own site, then IPv6, and a plain path to a relay, whatever their speed", () => {
    const lone = new Lone();
    lone.agent.addLocal(lone.nowMs, { socket: 1, family: 6, kind: "udp", candidates: [] });
    const onlyPeer = { address: "relay", port: 1 };
    lone.agent.addLocal(lone.nowMs, { socket: 2, family: 4, kind: "relay", candidates: [], onlyPeer });
    const v6: Candidate = { kind: "host", address: "2001:db8:9::9", port: 7, family: 6 };
    lone.remote([candidate(1000), v6]);
    const delays: Record<string, number> = { relay: 1, [VICTIM]: 20, "2001:db8:9::9": 23 };
    const answers: { atMs: number; deliver: () => void }[] = [];
    for (let step = 0; step < 1500; step++) {
      lone.run(1);
      for (const { address, port, socket, bytes, atMs } of lone.sent.splice(0)) {
        const { transaction } = decodeCheck(bytes, mac)!;
        const answer: Check = { kind: "response", role: "responder", generation: 1, transaction };
        answers.push({
          atMs: atMs + delays[address]!,
          deliver: () => lone.receive(answer, address, port, socket),
        });
      }
      for (const one of answers.filter(({ atMs }) => atMs === lone.nowMs)) one.deliver();
    }
    const best = lone.events.find(({ kind }) => kind === "best");
    expect(lone.events[0]).toMatchObject({ kind: "pair", path: "relay" });
    expect(best).toMatchObject({ address: "2001:db8:9::9", path: "direct" });
  });
});

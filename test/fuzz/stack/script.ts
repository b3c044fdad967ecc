/**
 * The grammar of a malicious peer: what one that holds the true keys may do on a link, as a list of steps.
 *
 * A script follows from its seed alone. It is made of phrases, short sequences that make sense to the other
 * side (open a flow, ask for a port and cancel it), which are bent, cut and merged with one another. Most of
 * them break no rule, because a link that ends at its first packet shows nothing of the layers above.
 */
import { concatBytes } from "../../../src/base/bytes.ts";
import { ERRORS, type ErrorCode, SrudpError } from "../../../src/base/errors.ts";
import { writeVarint } from "../../../src/base/varint.ts";
import { encodeKind, encodeReceipt, encodeRecord, STREAM_KIND } from "../../../src/link/control-records.ts";
import {
  type Address,
  encodeAnswer,
  encodeCancel,
  encodeForwardReply,
  encodeForwardRequest,
  encodeHead,
  FORWARD_RECORD,
  formatTarget,
  type Target,
} from "../../../src/link/forward-records.ts";
import type { Xorshift } from "../xorshift.ts";

/** How a client ends its connection to a port that the victim has opened. */
export type ClientEnd = "reset" | "fin" | "hold";

/** Streams that the script opens are named by slots: 0 is the first. −1 is the victim's newest stream, −2 the one before. */
export type Step =
  | { readonly do: "open"; readonly slot: number; readonly bytes: Uint8Array; readonly note: string }
  | { readonly do: "control"; readonly bytes: Uint8Array; readonly note: string }
  | { readonly do: "write"; readonly slot: number; readonly bytes: Uint8Array; readonly note: string }
  | { readonly do: "fin" | "ping"; readonly slot: number }
  | { readonly do: "reset" | "stop"; readonly slot: number; readonly code: number }
  | { readonly do: "datagram"; readonly slot: number; readonly payloadBytes: number; readonly count: number }
  | { readonly do: "noise"; readonly bytes: Uint8Array }
  | { readonly do: "tcp"; readonly port: number; readonly payloadBytes: number; readonly end: ClientEnd }
  | { readonly do: "udp"; readonly port: number; readonly payloadBytes: number; readonly fromZero: boolean }
  | { readonly do: "deaf"; readonly isDeaf: boolean }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "turns"; readonly turns: number }
  /** A packet ends here; the next one follows at once, so that the victim takes both in one turn. */
  | { readonly do: "flush" }
  /** Until the victim says something, opens a stream or a port; not for long. */
  | { readonly do: "await"; readonly what: "anything" | "stream" | "port" }
  | { readonly do: "vanish"; readonly ms: number }
  | { readonly do: "raw"; readonly seed: number; readonly packets: number }
  | { readonly do: "close"; readonly code: number; readonly reason: string };

/** What the victim of a script offers, so that its requests lead somewhere. */
export interface Surroundings {
  /** Targets of forwarded streams: permitted ones, forbidden ones, ones that cannot be reached. */
  readonly targets: readonly Target[];
  /** Ports that may, or may not, be asked for. */
  readonly binds: readonly Address[];
  /** Chances of the phrases, by name; those left out have their usual weight. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Whether the script makes the link, and so opens the control stream. */
  readonly isInitiator: boolean;
  readonly mostPhrases: number;
}

/** Every code that travels, and some that no version knows. */
export const WIRE_CODES: readonly number[] = [
  ...(Object.keys(ERRORS) as ErrorCode[]).flatMap((code) => ERRORS[code].wire ?? []),
  0,
  0x3f,
  0x1ff,
  2 ** 30,
];
const FAILURES: readonly ErrorCode[] = (Object.keys(ERRORS) as ErrorCode[]).filter(
  (code) => ERRORS[code].wire !== undefined,
);
/** One ask in so many has a number that was used before, which ends the link. */
const ASKS_PER_REPETITION = 25;

/** Makes the script of one attacker. */
export function scriptOf(random: Xorshift, surroundings: Surroundings): Step[] {
  return new ScriptWriter(random, surroundings).write();
}

/** A script as people read it, a step a line. */
export function printScript(steps: readonly Step[]): string {
  return steps.map((step) => `  ${printStep(step)}`).join("\n");
}

function printStep(step: Step): string {
  const words = Object.entries(step).flatMap(([name, value]) => {
    if (name === "do") return [];
    if (value instanceof Uint8Array) {
      const hex = Buffer.from(value.subarray(0, 24)).toString("hex");
      return [`${value.length} bytes ${hex}${value.length > 24 ? "…" : ""}`];
    }
    return [name === "note" ? String(value) : `${name}=${value}`];
  });
  return `${step.do} ${words.join(" ")}`;
}

class ScriptWriter {
  readonly #random: Xorshift;
  readonly #surroundings: Surroundings;
  #slots = 0;
  /** Numbers of asks that were used. */
  #asked = 0;
  readonly #phrases: readonly (readonly [string, number, () => Step[]])[] = [
    ["flow", 6, () => this.#flow()],
    ["connection", 5, () => this.#connection()],
    ["asks", 6, () => this.#asks()],
    ["visits", 5, () => this.#visits()],
    ["stray answers", 1, () => this.#strayAnswers()],
    ["pipe", 3, () => this.#pipe()],
    ["receipts", 1, () => this.#receipts()],
    ["junk streams", 2, () => this.#junkStreams()],
    ["flood of streams", 1, () => this.#streamFlood()],
    ["bench", 1, () => this.#bench()],
    ["noise", 2, () => this.#noise()],
    ["records", 2, () => this.#records()],
    ["violation", 1, () => this.#violation()],
    ["deaf", 1, () => [this.#deaf(true), ...this.#connection(), this.#pause(), this.#deaf(false)]],
    ["vanish", 1, () => [{ do: "vanish", ms: this.#random.pick([1, 5, 30]) }]],
  ];

  constructor(random: Xorshift, surroundings: Surroundings) {
    this.#random = random;
    this.#surroundings = surroundings;
  }

  write(): Step[] {
    const random = this.#random;
    const { isInitiator, mostPhrases } = this.#surroundings;
    let steps: Step[] = [];
    for (let phrases = 1 + random.below(mostPhrases); phrases > 0; phrases--) {
      const phrase = this.#bent(this.#phrase());
      steps = random.oneIn(3) ? this.#merged(steps, phrase) : [...steps, ...phrase];
    }
    if (isInitiator) {
      // Without a control stream no record gets through: it comes first, late, twice, or not at all.
      const control: Step = {
        do: "open",
        slot: 900,
        bytes: encodeKind(STREAM_KIND.control),
        note: "control",
      };
      if (random.oneIn(20)) steps.splice(random.below(steps.length + 1), 0, control);
      else if (!random.oneIn(40)) steps.unshift(control);
      if (random.oneIn(60)) steps.push({ ...control, slot: 901 });
    }
    if (random.oneIn(12)) steps.push({ do: "raw", seed: random.u32(), packets: 1 + random.below(80) });
    steps.push({
      do: "close",
      code: random.pick(WIRE_CODES),
      reason: random.oneIn(4) ? "\u0007\u001b[2J" : "",
    });
    return steps;
  }

  #phrase(): Step[] {
    const { weights = {} } = this.#surroundings;
    const all = this.#phrases.map(([name, weight, make]) => ({ weight: weights[name] ?? weight, make }));
    let drawn = this.#random.below(all.reduce((sum, { weight }) => sum + weight, 0));
    for (const { weight, make } of all) {
      if (drawn < weight) return make();
      drawn -= weight;
    }
    return [];
  }

  // ------------------------------------------------------------------ phrases

  /** A UDP flow: a stream with a head, datagrams and pieces, and some end. */
  #flow(): Step[] {
    const random = this.#random;
    const udp = this.#surroundings.targets.filter(({ kind }) => kind === "udp" || kind === "requested");
    const target = random.oneIn(12) || udp.length === 0 ? this.#target() : random.pick(udp);
    const [slot, ...steps] = this.#forward(target);
    steps.push(...this.#maybePause());
    for (let sends = random.below(6); sends > 0; sends--) {
      if (random.oneIn(3)) steps.push(this.#piece(slot));
      else steps.push(this.#datagram(slot));
      if (random.oneIn(3)) steps.push(...this.#maybePause());
    }
    return [...steps, ...this.#end(slot)];
  }

  #connection(): Step[] {
    const random = this.#random;
    const [slot, ...steps] = this.#forward(this.#target());
    if (random.oneIn(2)) steps.push(...this.#maybePause());
    for (let writes = random.below(4); writes > 0; writes--) {
      const byteLength = random.oneIn(8) ? random.below(60_000) : random.below(400);
      steps.push({ do: "write", slot, bytes: random.bytes(byteLength), note: "data" }, ...this.#maybePause());
    }
    return [...steps, ...this.#end(slot)];
  }

  /** Asks for ports, cancels, and asks again under the same numbers. */
  #asks(): Step[] {
    const random = this.#random;
    const steps: Step[] = [];
    const bind = random.pick(this.#surroundings.binds);
    for (let records = 1 + random.below(6); records > 0; records--) {
      if (random.oneIn(2))
        steps.push(this.#ask(random.oneIn(4) ? random.pick(this.#surroundings.binds) : bind));
      else steps.push(this.#cancel());
      if (random.oneIn(3)) steps.push(...this.#maybePause());
    }
    return steps;
  }

  /** Clients of ports that were asked for, beside answers, datagrams and cancels on the link. */
  #visits(): Step[] {
    const random = this.#random;
    const { binds } = this.#surroundings;
    const udpBinds = binds.filter(({ kind }) => kind === "udp");
    const wantsUdp = random.oneIn(2) && udpBinds.length > 0;
    const steps: Step[] = [this.#ask(random.pick(wantsUdp ? udpBinds : binds))];
    if (!random.oneIn(4)) steps.push({ do: "await", what: "port" });
    for (let visits = 1 + random.below(4); visits > 0; visits--) {
      steps.push(wantsUdp ? this.#udpVisit() : this.#tcpVisit());
      if (random.oneIn(2)) steps.push(...this.#maybePause());
    }
    steps.push({ do: "await", what: random.oneIn(2) ? "stream" : "anything" });
    for (let answers = random.below(4); answers > 0; answers--) {
      switch (random.below(5)) {
        case 0:
          steps.push(this.#answerHead(-1 - random.below(3)));
          break;
        case 1:
          steps.push(this.#cancel());
          break;
        case 2:
          steps.push(...this.#end(-1 - random.below(3)));
          break;
        default:
          steps.push(this.#datagram(-1 - random.below(3)));
      }
      steps.push(...(random.oneIn(2) ? [{ do: "flush" } as const] : this.#maybePause()));
    }
    return steps;
  }

  #strayAnswers(): Step[] {
    const random = this.#random;
    const steps: Step[] = [];
    for (let answers = 1 + random.below(3); answers > 0; answers--) {
      const failure = random.oneIn(2) ? new SrudpError(random.pick(FAILURES), "no") : undefined;
      const body = encodeForwardReply({ requestId: random.below(8), port: random.below(2 ** 17), failure });
      steps.push(this.#record(FORWARD_RECORD.reply, body, "answer"));
    }
    return steps;
  }

  #pipe(): Step[] {
    const random = this.#random;
    const slot = this.#slots++;
    const steps: Step[] = [{ do: "open", slot, bytes: encodeKind(STREAM_KIND.pipe), note: "pipe" }];
    for (let writes = random.below(4); writes > 0; writes--) {
      steps.push({ do: "write", slot, bytes: random.bytes(random.below(2000)), note: "data" });
      steps.push(...this.#maybePause());
    }
    if (random.oneIn(3)) steps.push(...this.#receipts());
    return [...steps, ...this.#end(slot)];
  }

  #receipts(): Step[] {
    const random = this.#random;
    const streamId = random.oneIn(2) ? 4 * random.below(4) : random.magnitude();
    const bytes = random.oneIn(2) ? random.below(3) : random.magnitude();
    const receipt = encodeReceipt({ streamId, bytes, sha256: random.bytes(32) });
    return [this.#split(receipt, "receipt")];
  }

  /** Kinds that nobody knows, kinds that come in pieces or never, and kinds that are there already. */
  #junkStreams(): Step[] {
    const random = this.#random;
    const slot = this.#slots++;
    const kind = random.oneIn(2) ? random.below(8) : random.magnitude();
    const whole = concatBytes(varint(kind), random.bytes(random.below(40)));
    const bytes = whole.subarray(0, random.oneIn(3) ? random.below(2) : whole.length);
    return [{ do: "open", slot, bytes, note: `kind ${kind}` }, ...this.#maybePause(), ...this.#end(slot)];
  }

  #streamFlood(): Step[] {
    const random = this.#random;
    const steps: Step[] = [];
    const target = this.#target();
    const code = random.pick(WIRE_CODES);
    for (let streams = 10 + random.below(60); streams > 0; streams--) {
      const [slot, ...opening] = this.#forward(target);
      steps.push(...opening);
      if (random.oneIn(8)) steps.push({ do: "turns", turns: 1 });
      if (!random.oneIn(3)) steps.push({ do: "reset", slot, code });
      if (random.oneIn(2)) steps.push({ do: "stop", slot, code });
    }
    return steps;
  }

  #bench(): Step[] {
    const random = this.#random;
    const slot = this.#slots++;
    const question = random.oneIn(8) ? random.u32() & 0xff : 1 + random.below(3);
    const bytes = concatBytes(
      encodeKind(STREAM_KIND.bench),
      Uint8Array.of(question, 0, 0, 0, random.below(40)),
    );
    const steps: Step[] = [{ do: "open", slot, bytes, note: `bench ${question}` }];
    steps.push({ do: "write", slot, bytes: random.bytes(random.below(3000)), note: "data" });
    return [...steps, ...this.#maybePause(), ...this.#end(slot)];
  }

  #noise(): Step[] {
    const random = this.#random;
    const steps: Step[] = [];
    for (let count = 1 + random.below(8); count > 0; count--) {
      steps.push(
        random.oneIn(2)
          ? { do: "noise", bytes: random.bytes(random.below(100)) }
          : this.#datagram(random.below(this.#slots + 2)),
      );
    }
    return steps;
  }

  /** Records of unknown types, and known ones with anything in them. */
  #records(): Step[] {
    const random = this.#random;
    const type = random.oneIn(2) ? 5 + random.below(200) : random.magnitude();
    const known = random.pick([FORWARD_RECORD.request, FORWARD_RECORD.reply, FORWARD_RECORD.cancel, 1]);
    // Junk in a known record is a violation, so it is rare.
    const isJunk = random.oneIn(10);
    return [this.#record(isJunk ? known : type, random.bytes(random.below(64)), isJunk ? "junk" : "unknown")];
  }

  /** What must end the link. */
  #violation(): Step[] {
    const random = this.#random;
    switch (random.below(5)) {
      case 0:
        return [
          {
            do: "control",
            bytes: concatBytes(varint(7), varint(5000 + random.below(2 ** 20))),
            note: "record too long",
          },
        ];
      case 1:
        return [{ do: "control", bytes: new Uint8Array(16).fill(0xff), note: "no record" }];
      case 2:
        return [{ do: "reset", slot: 900, code: random.pick(WIRE_CODES) }];
      case 3:
        return [{ do: "stop", slot: 900, code: random.pick(WIRE_CODES) }];
      default:
        return [{ do: "fin", slot: 900 }];
    }
  }

  // ------------------------------------------------------------------ parts of phrases

  #target(): Target {
    const random = this.#random;
    if (random.oneIn(12)) return { kind: "requested", requestId: random.below(this.#asked + 1) };
    return random.pick(this.#surroundings.targets);
  }

  /** The slot of a new forwarded stream, and the steps that open it. */
  #forward(target: Target): [number, ...Step[]] {
    const random = this.#random;
    const slot = this.#slots++;
    let head = encodeHead(target);
    let note = `forward ${formatTarget(target)}`;
    if (random.oneIn(15)) {
      const room = new Uint8Array(head.length + 64);
      room.set(head);
      head = room.slice(0, random.mutate(room, head.length));
      note += ", damaged";
    } else if (random.oneIn(60)) {
      head = varint(random.oneIn(2) ? 2000 + random.below(200) : random.magnitude());
      note += ", oversized";
    }
    const bytes = concatBytes(encodeKind(STREAM_KIND.forward), head);
    if (!random.oneIn(6)) return [slot, { do: "open", slot, bytes, note }];
    const cut = random.below(bytes.length + 1);
    return [
      slot,
      { do: "open", slot, bytes: bytes.subarray(0, cut), note: `${note}, first part` },
      ...this.#maybePause(),
      { do: "write", slot, bytes: bytes.subarray(cut), note: "rest of the head" },
    ];
  }

  #answerHead(slot: number): Step {
    const random = this.#random;
    const failure = random.oneIn(3) ? new SrudpError(random.pick(FAILURES), "no") : undefined;
    const bytes = random.oneIn(8) ? random.bytes(random.below(20)) : encodeAnswer(failure);
    return { do: "write", slot, bytes, note: "answer" };
  }

  #piece(slot: number): Step {
    const random = this.#random;
    const byteLength = random.oneIn(6) ? random.pick([0, 1, 1500, 9000, 65_535]) : random.below(300);
    const announced = random.oneIn(10) ? byteLength + random.below(300) : byteLength;
    return {
      do: "write",
      slot,
      bytes: concatBytes(varint(announced), random.bytes(byteLength)),
      note: "piece",
    };
  }

  #datagram(slot: number): Step {
    const random = this.#random;
    const payloadBytes = random.oneIn(6) ? random.pick([0, 1, 1100]) : random.below(200);
    return {
      do: "datagram",
      slot,
      payloadBytes,
      count: random.oneIn(10) ? random.below(200) : 1 + random.below(4),
    };
  }

  #tcpVisit(): Step {
    const random = this.#random;
    const end = random.pick<ClientEnd>(["reset", "fin", "hold"]);
    return { do: "tcp", port: this.#portIndex(), payloadBytes: random.below(2000), end };
  }

  /** Mostly the port that was opened last. */
  #portIndex(): number {
    return this.#random.oneIn(3) ? this.#random.below(4) : 0;
  }

  #udpVisit(): Step {
    const random = this.#random;
    return {
      do: "udp",
      port: this.#portIndex(),
      payloadBytes: random.below(600),
      fromZero: random.oneIn(12),
    };
  }

  #ask(bind: Address): Step {
    const random = this.#random;
    const requestId = random.oneIn(ASKS_PER_REPETITION) ? random.below(this.#asked + 1) : this.#asked++;
    return this.#record(
      FORWARD_RECORD.request,
      encodeForwardRequest({ requestId, bind }),
      `ask ${requestId} ${formatTarget(bind)}`,
    );
  }

  /** Mostly of what was asked last. */
  #cancel(): Step {
    const requestId = Math.max(0, this.#asked - 1 - this.#random.below(this.#random.oneIn(3) ? 6 : 1));
    return this.#record(FORWARD_RECORD.cancel, encodeCancel(requestId), `cancel ${requestId}`);
  }

  #record(type: number, body: Uint8Array, note: string): Step {
    return { do: "control", bytes: encodeRecord(type, body), note };
  }

  #split(bytes: Uint8Array, note: string): Step {
    return { do: "control", bytes, note };
  }

  /** Some way for a stream to end, or none. */
  #end(slot: number): Step[] {
    const random = this.#random;
    const code = random.pick(WIRE_CODES);
    switch (random.below(8)) {
      case 0:
        return [{ do: "fin", slot }];
      case 1:
        return [{ do: "reset", slot, code }];
      case 2:
        return [{ do: "stop", slot, code }];
      case 3:
        return [
          { do: "reset", slot, code },
          { do: "stop", slot, code },
        ];
      case 4:
        return [
          { do: "wait", ms: random.below(10) },
          { do: "reset", slot, code },
          { do: "stop", slot, code },
        ];
      case 5:
        return [{ do: "fin", slot }, ...this.#maybePause(), { do: "stop", slot, code }];
      default:
        return [];
    }
  }

  #deaf(isDeaf: boolean): Step {
    return { do: "deaf", isDeaf };
  }

  #maybePause(): Step[] {
    return this.#random.oneIn(2) ? [] : [this.#pause()];
  }

  #pause(): Step {
    const random = this.#random;
    if (random.oneIn(3)) return { do: "flush" };
    if (random.oneIn(3)) return { do: "await", what: "anything" };
    return random.oneIn(2)
      ? { do: "turns", turns: 1 + random.below(4) }
      : { do: "wait", ms: random.below(random.oneIn(10) ? 12 : 3) };
  }

  // ------------------------------------------------------------------ what is done to phrases

  /** Leaves steps out, doubles them, or swaps neighbours, now and then. */
  #bent(steps: readonly Step[]): Step[] {
    const random = this.#random;
    if (!random.oneIn(4)) return [...steps];
    const bent: Step[] = [];
    for (const step of steps) {
      if (random.oneIn(8)) continue;
      bent.push(step);
      if (random.oneIn(10) && step.do !== "open") bent.push(step);
      if (random.oneIn(10) && bent.length > 1) {
        const [last, before] = [bent.pop()!, bent.pop()!];
        bent.push(last, before);
      }
    }
    return bent;
  }

  /** Both in their order, shuffled into each other. */
  #merged(one: readonly Step[], other: readonly Step[]): Step[] {
    const merged: Step[] = [];
    for (let [at, beside] = [0, 0]; at < one.length || beside < other.length; ) {
      const takesOne =
        beside === other.length ||
        (at < one.length && this.#random.below(one.length + other.length) < one.length);
      merged.push(takesOne ? one[at++]! : other[beside++]!);
    }
    return merged;
  }
}

function varint(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  return bytes.slice(0, writeVarint(bytes, 0, value));
}

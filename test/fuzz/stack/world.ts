/** What the worlds of the fuzzer have in common: a victim that lives for many attacks, and what has to hold after each. */
import { pause } from "../../lib/deadline.ts";
import { broken } from "../target.ts";
import type { Xorshift } from "../xorshift.ts";
import { activeHandles, type Counts, grown, heapBytes, newSockets, objects } from "./inventory.ts";

/** One victim and what stands beside it. */
export interface World {
  /** Resolves when the first attack may begin. */
  start(): Promise<void>;
  /** Attacks as `random` says; resolves with the number of inputs. Rejects when an invariant is broken. */
  attack(random: Xorshift): Promise<number>;
  /** Throws when the victim is not as it must be. */
  check(): void;
  /** What the victim, and all around it, has to give back. */
  held(): Counts;
  /** Resident memory of the victim where it is a process of its own. */
  readonly residentBytes?: number | undefined;
  stop(): Promise<void>;
  /** What the attack of this seed does, for people. */
  print(random: Xorshift): string;
}

export interface Deadline {
  /** Before the first count. */
  readonly restMs: number;
  /** For what is left of an attack for a moment: links that are draining, sockets that are closing. */
  readonly settleMs: number;
}

const DEADLINE: Deadline = { restMs: 1500, settleMs: 8000 };
/** A link that was closed is remembered for some probe timeouts. */
const OBJECTS_SETTLE_MS = 20_000;
const LOOK_EVERY_MS = 4;
const OBJECTS_LOOK_EVERY_MS = 300;
/** Objects that one attack may leave to the next: a timer that is due, a promise that is not collected yet. */
const OBJECTS_SLACK = 8;
/** Memory that may be added for each input in the long run, and once: compiled code, grown tables. */
const BYTES_PER_INPUT = 60;
const HEAP_BYTES_ONCE = 8_000_000;
const RESIDENT_BYTES_ONCE = 50_000_000;

/** Compares what the victim holds with what it held before the first attack. */
export class Ledger {
  readonly #world: World;
  readonly #deadline: Deadline;
  #held: Counts = new Map();
  /** Handles that were there when that was counted. */
  #known: ReadonlySet<unknown> = new Set();
  #objects: Counts = new Map();
  #bytes = 0;
  #inputs = 0;

  constructor(world: World, deadline: Deadline = DEADLINE) {
    this.#world = world;
    this.#deadline = deadline;
  }

  /** From here on nothing may be added for good. */
  async begin(): Promise<void> {
    // Links of the first attacks, which have warmed everything up, are gone by then.
    await pause(this.#deadline.restMs);
    this.#held = this.#world.held();
    this.#known = new Set(activeHandles());
    const { residentBytes } = this.#world;
    if (residentBytes === undefined) this.#objects = objects();
    this.#bytes = residentBytes ?? heapBytes();
  }

  /** Waits a while for descriptors and handles to be as many as before. @returns what there is more of, or nothing */
  async settle(inputs: number): Promise<string> {
    this.#inputs += inputs;
    const untilMs = performance.now() + this.#deadline.settleMs;
    for (;;) {
      this.#world.check();
      const what = grown(this.#held, this.#world.held());
      if (what === "") return "";
      if (performance.now() > untilMs) {
        this.#held = this.#world.held();
        const sockets = newSockets(this.#known);
        this.#known = new Set(activeHandles());
        return `left behind: ${what}\n    ${sockets}`;
      }
      await pause(LOOK_EVERY_MS);
    }
  }

  /** Objects of the stack are as many as before, and memory has not grown with the inputs. Takes a good part of a second. */
  async audit(): Promise<void> {
    const { residentBytes } = this.#world;
    const isApart = residentBytes !== undefined;
    const untilMs = performance.now() + OBJECTS_SETTLE_MS;
    while (!isApart) {
      const what = grown(this.#objects, objects(), OBJECTS_SLACK);
      if (what === "") break;
      if (performance.now() > untilMs) broken(`objects left behind: ${what}`);
      await pause(OBJECTS_LOOK_EVERY_MS);
    }
    const more = (residentBytes ?? heapBytes()) - this.#bytes;
    const allowed = (isApart ? RESIDENT_BYTES_ONCE : HEAP_BYTES_ONCE) + this.#inputs * BYTES_PER_INPUT;
    if (more > allowed) broken(`memory grew by ${(more / 1e6).toFixed(1)} MB over ${this.#inputs} inputs`);
  }
}

/**
 * The virtual clock and its event queue: time stands still while anything runs and jumps to the next event
 * after it. Events of one instant run in the order in which they were scheduled, so a world has one history.
 */

/** Something that the clock can wake. */
export interface Waker {
  /** @param subject what was given to `schedule` */
  wake(now: number, subject: unknown): void;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly waker: Waker;
  readonly subject: unknown;
}

const ACTION: Waker = { wake: (_now, subject) => (subject as () => void)() };

export class World {
  /** Monotonic milliseconds of this world. */
  now: number;
  /** Events run so far. */
  steps = 0;
  #order = 0;
  readonly #heap: Event[] = [];

  /** @param startMs where the clock starts; engines must not care */
  constructor(startMs = 0) {
    this.now = startMs;
  }

  /** Events that wait. */
  get pending(): number {
    return this.#heap.length;
  }

  /** When the next event comes, Infinity when none waits: for a driver that follows a real clock. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Wakes `waker` with `subject` at `at` (absolute ms); a time in the past means now. */
  schedule(at: number, waker: Waker, subject?: unknown): void {
    if (Number.isNaN(at)) throw new Error("an event at NaN");
    const event = { at: Math.max(at, this.now), order: this.#order++, waker, subject };
    const heap = this.#heap;
    let hole = heap.length;
    heap.push(event);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[hole] = heap[parent]!;
      hole = parent;
    }
    heap[hole] = event;
  }

  /** Runs `action` at `at`, for scripts of scenarios. */
  at(at: number, action: () => void): void {
    this.schedule(at, ACTION, action);
  }

  /** Runs the next event; false when there is none, or none until `limitMs`. */
  step(limitMs = Number.POSITIVE_INFINITY): boolean {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > limitMs) return false;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sink(last);
    this.now = first.at;
    this.steps++;
    first.waker.wake(first.at, first.subject);
    return true;
  }

  /** Runs until nothing is left, `limitMs` is passed, or `isDone`. */
  run(limitMs: number, isDone?: () => boolean): void {
    while (isDone?.() !== true && this.step(limitMs));
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    const length = heap.length;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, event)) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

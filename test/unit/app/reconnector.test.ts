/** The reconnector with fake links and fake timers: when it dials, what it reports, which of two links it keeps. */
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  keepLink,
  type ReconnectEvent,
  type ReconnectOptions,
} from "../../../src/app/forward/reconnector.ts";
import { SrudpError } from "../../../src/base/errors.ts";
import type { Link } from "../../../src/link/link.ts";

// Fake timers replace the global functions only.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
}));

const RTT_MS = 100;
/** Silence that is reported: 1500 ms, and 1000 ms and three round trips for the answer to a ping. */
const SILENT_MS = 1500 + 1000 + 3 * RTT_MS;
/** The silence of a link is measured every so often. */
const LOOK_INTERVAL_MS = 500;
const UNREACHABLE = new SrudpError("ERR_TIMEOUT");
const REFUSED = new SrudpError("ERR_PEER_KEY");

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** What the reconnector uses of a link. */
type UsedOfLink = Pick<Link, "closed" | "destroyed" | "errored" | "stats" | "ping" | "destroy" | "close">;

class FakeLink extends EventEmitter implements Record<keyof UsedOfLink, unknown> {
  closed = false;
  destroyed = false;
  errored: Error | null = null;
  pings = 0;
  /** Called at each ping: a peer that is alive answers with a packet. */
  onPing: () => void = () => undefined;
  #receivedPackets = 0;

  stats(): { receivedPackets: number; rttMs: number } {
    return { receivedPackets: this.#receivedPackets, rttMs: RTT_MS };
  }

  receive(): void {
    this.#receivedPackets++;
  }

  ping(): void {
    this.pings++;
    this.onPing();
  }

  /** As a link that ends: with an error, or without. */
  end(error: Error | null = null): void {
    this.errored = error;
    this.closed = true;
    this.destroyed = true;
    this.emit("close");
  }

  /** As Node's streams do, it emits the event later. */
  destroy(): void {
    this.destroyed = true;
    process.nextTick(() => this.end());
  }

  close(): Promise<void> {
    this.end();
    return Promise.resolve();
  }
}

interface Attempt {
  readonly atMs: number;
  readonly isRival: boolean;
  readonly signal: AbortSignal;
  succeed(): FakeLink;
  fail(error: Error): void;
}

/** A reconnector whose attempts are answered by the test. */
function start(options: Partial<ReconnectOptions> & { isRepeatable?: boolean } = {}) {
  const startMs = performance.now();
  const ending = new AbortController();
  const attempts: Attempt[] = [];
  const events: ReconnectEvent[] = [];
  let outcome: unknown = "running";
  const { isRepeatable = true, ...others } = options;
  keepLink({
    source: {
      isRepeatable,
      open: ({ signal, isRival }) =>
        new Promise((resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
          attempts.push({
            atMs: performance.now() - startMs,
            isRival,
            signal,
            succeed: () => {
              const link = new FakeLink();
              resolve(link as unknown as Link);
              return link;
            },
            fail: reject,
          });
        }),
    },
    retriesFirst: true,
    isFinal: (error) => error === REFUSED,
    signal: ending.signal,
    onEvent: (event) => events.push(event),
    ...others,
  }).catch((error: unknown) => {
    outcome = error;
  });
  return {
    attempts,
    events,
    ending,
    kinds: () => events.map(({ kind }) => kind),
    outcome: () => outcome,
  };
}

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A reconnector with an open link. */
async function connected(options: Parameters<typeof start>[0] = {}) {
  const run = start(options);
  const link = run.attempts[0]!.succeed();
  await advance(0);
  return { ...run, link };
}

describe("the first link", () => {
  it("is reported when it is open", async () => {
    const { link, events } = await connected();
    expect(events).toEqual([{ kind: "connected", link }]);
  });

  it("is tried once where it is not to be retried, and its failure is the outcome", async () => {
    const { attempts, events, outcome } = start({ retriesFirst: false });
    attempts[0]!.fail(UNREACHABLE);
    await advance(60_000);
    expect(outcome()).toBe(UNREACHABLE);
    expect(attempts).toHaveLength(1);
    expect(events).toEqual([]);
  });
});

describe("attempts that fail", () => {
  it("are repeated after pauses that double from 500 ms up to 15 s", async () => {
    const { attempts, events } = start();
    for (let failed = 0; failed < 7; failed++) {
      attempts[failed]!.fail(UNREACHABLE);
      await advance(15_000);
    }
    const pauses = events.map((event) => event.kind === "lost" && event.pauseMs);
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  });

  it("are repeated when the reported pause is over, not before", async () => {
    const { attempts } = start();
    attempts[0]!.fail(UNREACHABLE);
    await advance(499);
    expect(attempts).toHaveLength(1);
    await advance(1);
    expect(attempts.map(({ atMs, isRival }) => ({ atMs, isRival }))).toEqual([
      { atMs: 0, isRival: false },
      { atMs: 500, isRival: false },
    ]);
  });

  it("are repeated after up to half as much again at random, so that many peers do not dial at once", async () => {
    vi.mocked(Math.random).mockReturnValue(0.999);
    const { attempts, events } = start();
    attempts[0]!.fail(UNREACHABLE);
    await advance(0);
    expect(events).toEqual([{ kind: "lost", error: UNREACHABLE, pauseMs: 750 }]);
  });

  it("are not repeated after a final failure, which is the outcome", async () => {
    const { attempts, outcome } = start();
    attempts[0]!.fail(UNREACHABLE);
    await advance(500);
    attempts[1]!.fail(REFUSED);
    await advance(60_000);
    expect(outcome()).toBe(REFUSED);
    expect(attempts).toHaveLength(2);
  });
});

describe("a link that ends", () => {
  it("is reported as lost with its error, and dialled again after 250 ms", async () => {
    const { link, attempts, events } = await connected();
    const error = new SrudpError("ERR_LINK_LOST");
    link.end(error);
    await advance(249);
    expect(events.at(-1)).toEqual({ kind: "lost", error, pauseMs: 250 });
    expect(attempts).toHaveLength(1);
    await advance(1);
    const next = attempts[1]!.succeed();
    await advance(0);
    expect(attempts[1]!.isRival).toBe(false);
    expect(events.at(-1)).toEqual({ kind: "connected", link: next });
  });

  it("is dialled again when it had ended before it was watched", async () => {
    const { attempts, kinds } = start();
    attempts[0]!.succeed().end();
    await advance(250);
    expect(kinds()).toEqual(["connected", "lost"]);
    expect(attempts).toHaveLength(2);
  });

  it("with a final error is not dialled again", async () => {
    const { link, attempts, outcome } = await connected();
    link.end(REFUSED);
    await advance(60_000);
    expect(outcome()).toBe(REFUSED);
    expect(attempts).toHaveLength(1);
  });

  it("fails with ERR_CODE_SPENT and the link's error where the source opens one link only", async () => {
    const { link, attempts, outcome } = await connected({ isRepeatable: false });
    const error = new SrudpError("ERR_LINK_LOST");
    link.end(error);
    await advance(60_000);
    expect(outcome()).toMatchObject({ code: "ERR_CODE_SPENT", cause: error });
    expect(attempts).toHaveLength(1);
  });
});

describe("a silent link", () => {
  it("is pinged after 1.5 s, and not while packets arrive", async () => {
    const { link } = await connected();
    for (let ms = 0; ms < 5000; ms += LOOK_INTERVAL_MS) {
      link.receive();
      await advance(LOOK_INTERVAL_MS);
    }
    expect(link.pings).toBe(0);
    await advance(1500 - LOOK_INTERVAL_MS);
    expect(link.pings).toBe(0);
    await advance(LOOK_INTERVAL_MS);
    expect(link.pings).toBe(1);
  });

  it("is reported once when pings are not answered in time, and again after a packet", async () => {
    const { link, events } = await connected({ isRepeatable: false });
    await advance(SILENT_MS - 1);
    expect(events).toHaveLength(1);
    await advance(LOOK_INTERVAL_MS);
    expect(events.at(-1)).toEqual({ kind: "silent", silentMs: 3000 });
    await advance(60_000);
    expect(events).toHaveLength(2);
    link.receive();
    await advance(SILENT_MS + 2 * LOOK_INTERVAL_MS);
    expect(events.map(({ kind }) => kind)).toEqual(["connected", "silent", "silent"]);
  });

  it("stands without a rival where the source opens one link only", async () => {
    const { link, attempts } = await connected({ isRepeatable: false });
    await advance(60_000);
    expect(attempts).toHaveLength(1);
    expect(link.closed).toBe(false);
  });

  it("is replaced by a rival when the peer does not answer on it", async () => {
    const { link, attempts, events } = await connected();
    await advance(3000);
    expect(attempts[1]?.isRival).toBe(true);
    expect(link.closed).toBe(false);
    const rival = attempts[1]!.succeed();
    await advance(1000 + 3 * RTT_MS + 50);
    expect(link.destroyed).toBe(true);
    expect(rival.closed).toBe(false);
    expect(events.map(({ kind }) => kind)).toEqual(["connected", "silent", "connected"]);
    expect(events.at(-1)).toEqual({ kind: "connected", link: rival });
  });

  it("is kept, and the rival closed, when the peer answers on it after all", async () => {
    const { link, attempts, kinds } = await connected();
    await advance(3000);
    link.onPing = () => link.receive();
    const rival = attempts[1]!.succeed();
    await advance(1000);
    expect(rival.closed).toBe(true);
    expect(link.closed).toBe(false);
    expect(kinds()).toEqual(["connected", "silent"]);
  });

  it("ends the attempt for a rival as soon as a packet arrives on it", async () => {
    const { link, attempts } = await connected();
    await advance(3000);
    expect(attempts[1]!.signal.aborted).toBe(false);
    link.receive();
    await advance(LOOK_INTERVAL_MS);
    expect(attempts[1]!.signal.aborted).toBe(true);
    expect(link.closed).toBe(false);
  });

  it("that ends just after a rival was opened ends the rival, too, and is dialled again", async () => {
    const { link, attempts, kinds } = await connected();
    await advance(3000);
    const rival = attempts[1]!.succeed();
    link.end();
    await advance(250);
    expect(rival.closed).toBe(true);
    expect(kinds()).toEqual(["connected", "silent", "lost"]);
    expect(attempts).toHaveLength(3);
  });

  it("gets another rival after one that failed, with 1.5 s between them", async () => {
    const { attempts } = await connected();
    await advance(3000);
    attempts[1]!.fail(UNREACHABLE);
    await advance(1499);
    expect(attempts).toHaveLength(2);
    await advance(1 + LOOK_INTERVAL_MS);
    expect(attempts[2]).toMatchObject({ isRival: true, atMs: 3000 + 1500 + LOOK_INTERVAL_MS });
  });

  it("that ends while a rival is being opened ends that attempt, and is dialled again", async () => {
    const { link, attempts } = await connected();
    await advance(3000);
    link.end();
    await advance(250);
    expect(attempts[1]!.signal.aborted).toBe(true);
    expect(attempts[2]).toMatchObject({ isRival: false, atMs: 3250 });
  });
});

describe("the abort signal", () => {
  const reason = new Error("interrupted");

  it.each([
    ["while a link is open", async (run: ReturnType<typeof start>) => void run.attempts[0]!.succeed()],
    ["while a link is being opened", async () => undefined],
    ["during a pause", async (run: ReturnType<typeof start>) => run.attempts[0]!.fail(UNREACHABLE)],
  ])("%s ends the reconnector with its reason and leaves no timer", async (_, prepare) => {
    const run = start();
    await prepare(run);
    await advance(100);
    run.ending.abort(reason);
    await advance(LOOK_INTERVAL_MS);
    expect(run.outcome()).toBe(reason);
    expect(run.attempts).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends an attempt for a rival, too", async () => {
    const { attempts, ending, outcome } = await connected();
    await advance(3000);
    ending.abort(reason);
    await advance(0);
    expect(attempts[1]!.signal.aborted).toBe(true);
    expect(outcome()).toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
  });
});

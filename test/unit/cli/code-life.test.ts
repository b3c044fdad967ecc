import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SrudpError } from "../../../src/base/errors.ts";
import { exitStatusOf } from "../../../src/cli/exit.ts";
import { CODE_LIFE_MS, CodeLife } from "../../../src/cli/terminal/code-life.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function begin(options: { given?: boolean; keepOpen?: boolean } = {}): {
  life: CodeLife;
  used: (string | undefined)[];
  failures: SrudpError[];
  pauses: number[];
} {
  const used: (string | undefined)[] = [];
  const failures: SrudpError[] = [];
  const pauses: number[] = [];
  let made = 0;
  const life = new CodeLife({
    code: "first",
    given: options.given ?? false,
    keepOpen: options.keepOpen ?? false,
    newCode: () => `made${++made}`,
    use: (code) => used.push(code),
    pause: (pauseMs) => pauses.push(pauseMs),
    fail: (error) => failures.push(error),
  });
  return { life, used, failures, pauses };
}

describe("a code that was made", () => {
  it("is followed by a fresh one every ten minutes while nobody comes", () => {
    const { life, used, failures } = begin();
    vi.advanceTimersByTime(CODE_LIFE_MS - 1);
    expect(used).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(used).toEqual(["made1"]);
    vi.advanceTimersByTime(CODE_LIFE_MS);
    expect(used).toEqual(["made1", "made2"]);
    expect(life.code).toBe("made2");
    expect(failures).toEqual([]);
  });

  it("is spent by the peer that used it, and does not expire under the link", () => {
    const { life, used } = begin();
    life.handlePeer(true);
    expect(used).toEqual([undefined]);
    expect(life.code).toBeUndefined();
    vi.advanceTimersByTime(10 * CODE_LIFE_MS);
    expect(used).toEqual([undefined]);
  });

  it("with -k is followed by a fresh one for the next peer as soon as it is used", () => {
    const { life, used } = begin({ keepOpen: true });
    life.handlePeer(true);
    expect(used).toEqual(["made1"]);
    life.handlePeer(false);
    expect(life.code).toBe("made1");
    vi.advanceTimersByTime(CODE_LIFE_MS);
    expect(life.code).toBe("made2");
  });

  it("ends the listener with 77 after three guesses, or is replaced with -k", () => {
    const once = begin();
    once.life.handleBurnt();
    expect(once.failures.map(exitStatusOf)).toEqual([77]);
    expect(once.life.code).toBeUndefined();
    const kept = begin({ keepOpen: true });
    kept.life.handleBurnt();
    expect(kept.failures).toEqual([]);
    expect(kept.used).toEqual([]);
    vi.advanceTimersByTime(2000);
    expect(kept.used).toEqual(["made1"]);
  });

  it("with -k is replaced four times as late each time that strangers use it up, ten minutes at most", () => {
    const { life, used, pauses } = begin({ keepOpen: true });
    for (let burnt = 1; burnt <= 7; burnt++) {
      life.handleBurnt();
      expect(life.code).toBeUndefined();
      vi.advanceTimersByTime(pauses.at(-1)! - 1);
      expect(used).toHaveLength(burnt - 1);
      vi.advanceTimersByTime(1);
      expect(life.code).toBe(`made${burnt}`);
    }
    expect(pauses).toEqual([2000, 8000, 32_000, 128_000, 512_000, 600_000, 600_000]);
  });

  it("with -k is replaced soon again once a peer has used one, or one has expired", () => {
    const { life, pauses } = begin({ keepOpen: true });
    const burn = (): void => {
      life.handleBurnt();
      vi.advanceTimersByTime(pauses.at(-1)!);
    };
    burn();
    burn();
    life.handlePeer(true);
    burn();
    burn();
    vi.advanceTimersByTime(CODE_LIFE_MS);
    burn();
    expect(pauses).toEqual([2000, 8000, 2000, 8000, 2000]);
  });
});

describe("a code that was given", () => {
  it("ends the listener with 75 after ten minutes", () => {
    const { used, failures } = begin({ given: true });
    vi.advanceTimersByTime(CODE_LIFE_MS);
    expect(failures.map((error) => error.code)).toEqual(["ERR_CODE_EXPIRED"]);
    expect(exitStatusOf(failures[0]!)).toBe(75);
    expect(used).toEqual([]);
  });

  it("ends the listener with 77 after three guesses", () => {
    const { life, failures } = begin({ given: true });
    life.handleBurnt();
    expect(failures.map(exitStatusOf)).toEqual([77]);
    vi.advanceTimersByTime(CODE_LIFE_MS);
    expect(failures).toHaveLength(1);
  });
});

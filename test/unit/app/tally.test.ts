import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ByteDigest } from "../../../src/app/byte-digest.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

const CHUNK = new Uint8Array(1000);

describe("the transfer time of a direction", () => {
  it("runs from the first byte to the last", () => {
    const tally = new ByteDigest();
    vi.advanceTimersByTime(60_000);
    tally.add(CHUNK);
    vi.advanceTimersByTime(300);
    tally.add(CHUNK);
    vi.advanceTimersByTime(60_000);
    expect(tally.bytes).toBe(2000);
    expect(tally.transferMs).toBe(300);
  });

  it("leaves out a pause in which there was nothing to send", () => {
    const tally = new ByteDigest();
    tally.add(CHUNK);
    vi.advanceTimersByTime(100);
    tally.add(CHUNK);
    vi.advanceTimersByTime(60_000);
    tally.add(CHUNK);
    vi.advanceTimersByTime(200);
    tally.add(CHUNK);
    expect(tally.transferMs).toBe(300);
  });

  it("has a pause in it while the direction waits for its peer", () => {
    const tally = new ByteDigest();
    tally.add(CHUNK);
    vi.advanceTimersByTime(7000);
    tally.recordTime(true);
    vi.advanceTimersByTime(7000);
    tally.add(CHUNK);
    expect(tally.transferMs).toBe(7000);
  });
});

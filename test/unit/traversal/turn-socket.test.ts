import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TurnCarriage } from "../../../src/traversal/relay/turn-carriage.ts";
import type { TurnRequests } from "../../../src/traversal/relay/turn-requests.ts";
import { TurnSocket } from "../../../src/traversal/relay/turn-socket.ts";

const HOUR_MS = 3_600_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A relay for `lifetimeMs`, and how often its server has been asked to renew it. */
function allocate(lifetimeMs: number): { relay: TurnSocket; renewals: () => number } {
  const carriage: TurnCarriage = {
    isStream: false,
    onMessage: undefined,
    onEnd: undefined,
    onSent: undefined,
    queuedMessages: 0,
    send: () => undefined,
    sendLast: () => undefined,
    holdProcess: () => undefined,
    close: () => undefined,
  };
  const request = vi.fn(() => new Promise<never>(() => undefined));
  const requests = { request, close: () => undefined, take: () => false } as unknown as TurnRequests;
  const relayed = { address: "192.0.2.9", port: 50_000, family: 4 } as const;
  const relay = new TurnSocket(carriage, requests, { relayed, mapped: undefined, lifetimeMs });
  return { relay, renewals: () => request.mock.calls.length };
}

describe("a TURN allocation", () => {
  it("is renewed at four fifths of its lifetime", () => {
    const { renewals } = allocate(600_000);
    vi.advanceTimersByTime(479_000);
    expect(renewals()).toBe(0);
    vi.advanceTimersByTime(2000);
    expect(renewals()).toBe(1);
  });

  it("that a server grants for 136 years is renewed once a day, not without end", () => {
    const { renewals } = allocate(0xffff_ffff * 1000);
    vi.advanceTimersByTime(23 * HOUR_MS);
    expect(renewals()).toBe(0);
    vi.advanceTimersByTime(2 * HOUR_MS);
    expect(renewals()).toBe(1);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openSignal, sealSignal } from "../../../src/punch/sealed-signal.ts";
import { decodeSignal, encodeSignal, SIGNAL_BYTES_LIMIT, type Signal } from "../../../src/wire/signal.ts";
import { anyCandidate, anySignal } from "./signals.ts";

const KEY = new Uint8Array(32).fill(5);
const random = (byteLength: number): Uint8Array => new Uint8Array(byteLength).fill(9);
const SIGNAL: Signal = {
  role: "responder",
  generation: 1,
  attempt: 1,
  sessionNonce: new Uint8Array(16).fill(2),
  sentAtS: 1_800_000_000,
  nat: { mapping: "endpointIndependent", filtering: "unknown", portPattern: "preserved", isHard: false },
  candidates: [{ kind: "serverReflexive", address: "192.0.2.7", port: 4242, family: 4 }],
  hasOpened: true,
};

describe("a signal", () => {
  it("comes back as it was", () => {
    fc.assert(
      fc.property(anySignal(40), (signal) => {
        expect(decodeSignal(encodeSignal(signal))).toEqual(signal);
      }),
    );
  });

  it("keeps within what every carrier takes, and leaves out the least preferred candidates", () => {
    fc.assert(
      fc.property(fc.array(anyCandidate, { minLength: 60, maxLength: 80 }), (candidates) => {
        const bytes = encodeSignal({ ...SIGNAL, candidates });
        expect(bytes.length).toBeLessThanOrEqual(SIGNAL_BYTES_LIMIT);
        const kept = decodeSignal(bytes)!.candidates;
        expect(kept).toEqual(candidates.slice(0, kept.length));
        expect(kept.length).toBeGreaterThanOrEqual(44);
        expect(kept.length).toBeLessThanOrEqual(64);
      }),
    );
  });

  it("passes over candidates that are no addresses the other side could use", () => {
    const zoned = { kind: "host" as const, address: "fe80::1%eth0", port: 1, family: 6 as const };
    const mixed = { kind: "host" as const, address: "192.0.2.1", port: 1, family: 6 as const };
    const candidates = [zoned, ...SIGNAL.candidates, mixed];
    expect(decodeSignal(encodeSignal({ ...SIGNAL, candidates }))).toEqual(SIGNAL);
  });

  it("has one of few lengths, so that it tells a carrier little", () => {
    fc.assert(
      fc.property(anySignal(64), (signal) => {
        expect(encodeSignal(signal).length % 128).toBe(0);
      }),
    );
  });

  it("is refused in another version, without a generation, cut anywhere, or with something behind it", () => {
    const bytes = encodeSignal(SIGNAL);
    const edited = (at: number, value: number): Uint8Array =>
      Uint8Array.from(bytes, (b, i) => (i === at ? value : b));
    expect(decodeSignal(edited(0, 1))).toBeUndefined();
    expect(decodeSignal(edited(3, 0))).toBeUndefined();
    expect(decodeSignal(edited(34, 65))).toBeUndefined();
    expect(decodeSignal(edited(bytes.length - 1, 1))).toBeUndefined();
    for (let length = 0; length < 42; length++)
      expect(decodeSignal(bytes.subarray(0, length))).toBeUndefined();
  });

  it("never throws, whatever was sealed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
        decodeSignal(bytes);
      }),
    );
  });
});

describe("a sealed signal", () => {
  it("opens for the other side only, under its key, and not where a bit was changed", () => {
    const blob = sealSignal(KEY, random, SIGNAL);
    expect(openSignal(KEY, "responder", blob)).toEqual(SIGNAL);
    expect(openSignal(KEY, "initiator", blob)).toBeUndefined();
    expect(openSignal(new Uint8Array(32), "responder", blob)).toBeUndefined();
    for (let at = 0; at < blob.length; at++) {
      const changed = Uint8Array.from(blob);
      changed[at]! ^= 0x10;
      expect(openSignal(KEY, "responder", changed)).toBeUndefined();
    }
    for (let length = 0; length < blob.length; length++)
      expect(openSignal(KEY, "responder", blob.subarray(0, length))).toBeUndefined();
  });

  it("fits into a DHT's item, and shows none of its addresses", () => {
    fc.assert(
      fc.property(anySignal(64), (signal) => {
        expect(sealSignal(KEY, random, signal).length).toBeLessThanOrEqual(936);
      }),
    );
    const blob = sealSignal(KEY, random, SIGNAL);
    expect(Buffer.from(blob).includes(Buffer.from([192, 0, 2, 7]))).toBe(false);
  });
});

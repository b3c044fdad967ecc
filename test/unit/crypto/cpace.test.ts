/** CPace against the vectors of draft-irtf-cfrg-cpace-21, and what a run accepts and refuses. */
import { _map_to_curve_elligator2_curve25519, ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { concatBytes, fromHex, toHex, utf8Encode } from "../../../src/base/bytes.ts";
import {
  Cpace,
  type CpaceOptions,
  cpaceGenerator,
  intermediateKey,
  lengthValueConcat,
  orderedConcat,
} from "../../../src/crypto/cpace.ts";
import { mapToCurve25519 } from "../../../src/crypto/elligator2.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { vectorText } from "./vectors.ts";

const PROVIDERS = [noblePrimitives, nodePrimitives];
const NAMES = ["PRS", "CI", "sid", "g", "ya", "ADa", "Ya", "yb", "ADb", "Yb", "K"] as const;
const OUTPUTS = ["ISK_IR", "ISK_SY", "sid_output_ir", "sid_output_oc"] as const;
type Vector = Record<(typeof NAMES)[number] | (typeof OUTPUTS)[number], Uint8Array>;

const text = vectorText("cpace-draft21.json");
const file = text === undefined ? undefined : (JSON.parse(text) as Record<string, Record<string, string>>);
const vector = Object.fromEntries(
  [...NAMES, ...OUTPUTS].map((name) => [name, fromHex(file?.G_25519?.[name] ?? "")]),
) as Vector;

/** s and q0 … qb of draft 21 §B.1.10; undefined stands for all zero, where the run has to be given up. */
const LISTED_SCALAR = fromHex("af46e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449aff");
const LISTED_RESULTS: (string | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  "d8e2c776bbacd510d09fd9278b7edcd25fc5ae9adfba3b6e040e8d3b71b21806",
  undefined,
  "c85c655ebe8be44ba9c0ffde69f2fe10194458d137f09bbff725ce58803cdb38",
  "db64dafa9b8fdd136914e61461935fe92aa372cb056314e1231bc4ec12417456",
  "e062dcd5376d58297be2618c7498f55baa07d7e03184e8aada20bca28888bf7a",
  "993c6ad11c4c29da9a56f7691fd0ff8d732e49de6250b6c2e80003ff4629a175",
];

/** One side of a run that needs no vector. */
function optionsOf(seed: number, changes: Partial<CpaceOptions> = {}): CpaceOptions {
  return {
    password: utf8Encode("42-ocean-lizard-maple"),
    channelId: utf8Encode("channel"),
    sessionId: utf8Encode("session"),
    associatedData: utf8Encode(`side ${seed}`),
    scalar: new Uint8Array(32).fill(seed),
    x25519: nodePrimitives.x25519,
    ...changes,
  };
}

describe.skipIf(file === undefined)("CPace with the vectors of draft 21", () => {
  const { PRS, CI, sid, g, ya, ADa, Ya, yb, ADb, Yb, K, ISK_IR, ISK_SY } = vector;
  const initiatorTranscript = concatBytes(lengthValueConcat(Ya, ADa), lengthValueConcat(Yb, ADb));
  const orderedTranscript = orderedConcat(lengthValueConcat(Ya, ADa), lengthValueConcat(Yb, ADb));

  it("maps the password to the generator", () => {
    expect(toHex(cpaceGenerator(PRS, CI, sid))).toBe(toHex(g));
  });

  it("orders transcripts as the session identifiers of both settings show", () => {
    const label = utf8Encode("CPaceSidOutput");
    expect(toHex(sha512(concatBytes(label, initiatorTranscript)))).toBe(toHex(vector.sid_output_ir));
    expect(toHex(sha512(concatBytes(label, orderedTranscript)))).toBe(toHex(vector.sid_output_oc));
  });

  it("hashes the shared secret to the key of both settings", () => {
    expect(toHex(intermediateKey(sid, K, initiatorTranscript))).toBe(toHex(ISK_IR));
    expect(toHex(intermediateKey(sid, K, orderedTranscript))).toBe(toHex(ISK_SY));
  });

  it.each(PROVIDERS)("makes both shares and the key with $name", ({ x25519 }) => {
    const common = { password: PRS, channelId: CI, sessionId: sid, x25519 };
    const a = new Cpace({ ...common, associatedData: ADa, scalar: ya });
    const b = new Cpace({ ...common, associatedData: ADb, scalar: yb });
    expect(toHex(a.share)).toBe(toHex(Ya));
    expect(toHex(b.share)).toBe(toHex(Yb));
    expect(toHex(x25519.sharedSecret(ya, Yb)!)).toBe(toHex(K));
    expect(toHex(a.finish(b.share, ADb)!)).toBe(toHex(ISK_SY));
    expect(toHex(b.finish(a.share, ADa)!)).toBe(toHex(ISK_SY));
  });

  // The file calls all of them invalid; those that are so only where bit 255 is not cleared have a result. §B.1.10
  it.each(PROVIDERS)(
    "multiplies the points of low order and their look-alikes as listed, with $name",
    ({ x25519 }) => {
      const points = Object.values(file!.X25519_points!).map((point) => fromHex(point));
      expect(points.length).toBe(LISTED_RESULTS.length);
      for (const [index, point] of points.entries()) {
        const result = x25519.sharedSecret(LISTED_SCALAR, point);
        expect(result && toHex(result), `point ${index}`).toBe(LISTED_RESULTS[index]);
        const key = new Cpace(optionsOf(1, { x25519 })).finish(point, new Uint8Array(0));
        expect(key === undefined, `point ${index}`).toBe(LISTED_RESULTS[index] === undefined);
      }
    },
  );
});

describe("the map to the curve", () => {
  it("agrees with the oracle over many inputs, bit 255 and values beyond the prime included", () => {
    const { Fp } = ed25519.Point;
    const inputs = Array.from({ length: 100 }, (_, i) => sha512(Uint8Array.of(i)).subarray(0, 32));
    inputs.push(new Uint8Array(32), new Uint8Array(32).fill(0xff), Uint8Array.of(1, ...new Uint8Array(31)));
    for (const input of inputs) {
      const masked = input.slice();
      masked[31]! &= 0x7f;
      const { xMn, xMd } = _map_to_curve_elligator2_curve25519(
        Fp.create(BigInt(`0x${toHex(masked.reverse())}`)),
      );
      const expected = Fp.toBytes(Fp.div(xMn, xMd));
      expect(toHex(mapToCurve25519(input))).toBe(toHex(expected));
    }
  });
});

describe("length-value strings", () => {
  it("carry lengths of 128 and more in LEB128", () => {
    expect(toHex(lengthValueConcat(new Uint8Array(0), Uint8Array.of(7)))).toBe("000107");
    expect(toHex(lengthValueConcat(new Uint8Array(127)).subarray(0, 2))).toBe("7f00");
    expect(toHex(lengthValueConcat(new Uint8Array(128)).subarray(0, 3))).toBe("800100");
    expect(toHex(lengthValueConcat(new Uint8Array(300)).subarray(0, 3))).toBe("ac0200");
  });

  it("are ordered by their bytes, a prefix before what it begins", () => {
    const order = (a: string, b: string): string => toHex(orderedConcat(fromHex(a), fromHex(b)));
    expect(order("ff", "00aa")).toBe("6f63ff00aa");
    expect(order("00aa", "ff")).toBe("6f63ff00aa");
    expect(order("00", "00aa")).toBe("6f6300aa00");
    expect(order("80", "7f")).toBe("6f63807f");
  });
});

describe("a CPace run", () => {
  it("gives both sides one key, whoever begins", () => {
    const [a, b] = [new Cpace(optionsOf(1)), new Cpace(optionsOf(2))];
    const key = a.finish(b.share, utf8Encode("side 2"));
    expect(key?.length).toBe(64);
    expect(b.finish(a.share, utf8Encode("side 1"))).toEqual(key);
  });

  it.each([
    ["password", { password: utf8Encode("42-ocean-lizard-mapel") }],
    ["channel", { channelId: utf8Encode("another") }],
    ["session", { sessionId: utf8Encode("another") }],
    ["associated data", { associatedData: utf8Encode("side 3") }],
  ])("gives two keys when the %s differs", (_name, changes) => {
    const [a, b] = [new Cpace(optionsOf(1)), new Cpace(optionsOf(2, changes))];
    expect(toHex(a.finish(b.share, utf8Encode("side 2"))!)).not.toBe(
      toHex(b.finish(a.share, utf8Encode("side 1"))!),
    );
  });

  it("does not confuse where password, channel and session begin", () => {
    const parts = [
      ["ab", "c", ""],
      ["a", "bc", ""],
      ["a", "b", "c"],
      ["", "ab", "c"],
    ].map((names) => names.map(utf8Encode));
    const generators = parts.map(([password, channel, session]) =>
      toHex(cpaceGenerator(password!, channel!, session!)),
    );
    expect(new Set(generators).size).toBe(parts.length);
  });

  it("takes passwords longer than a hash block", () => {
    const generators = [100, 118, 119, 128, 5000].map((length) =>
      cpaceGenerator(new Uint8Array(length), utf8Encode(""), utf8Encode("")),
    );
    expect(new Set(generators.map(toHex)).size).toBe(5);
  });

  it("ignores its own share, also with bit 255 set, shares of low order and of wrong lengths, and still completes", () => {
    const [a, b] = [new Cpace(optionsOf(1)), new Cpace(optionsOf(2))];
    const highBit = a.share.slice();
    highBit[31]! |= 0x80;
    const bad = [
      a.share,
      highBit,
      new Uint8Array(32),
      b.share.subarray(1),
      Uint8Array.of(...b.share, 0),
      new Uint8Array(0),
    ];
    for (const share of bad) expect(a.finish(share, utf8Encode("side 2"))).toBeUndefined();
    expect(a.finish(b.share, utf8Encode("side 2"))).toEqual(b.finish(a.share, utf8Encode("side 1")));
  });

  it("makes one key only", () => {
    const [a, b] = [new Cpace(optionsOf(1)), new Cpace(optionsOf(2))];
    expect(a.finish(b.share, utf8Encode("side 2"))).toBeDefined();
    const internal = expect.objectContaining({ code: "ERR_INTERNAL" });
    expect(() => a.finish(b.share, utf8Encode("side 2"))).toThrowError(internal);
    expect(() => new Cpace(optionsOf(1, { scalar: new Uint8Array(31) }))).toThrowError(internal);
  });

  it("keeps its own copy of the scalar and leaves the caller's alone", () => {
    const scalar = new Uint8Array(32).fill(1);
    const [a, b, c] = [new Cpace(optionsOf(1, { scalar })), new Cpace(optionsOf(2)), new Cpace(optionsOf(1))];
    scalar.fill(5);
    expect(a.finish(b.share, utf8Encode("side 2"))).toEqual(c.finish(b.share, utf8Encode("side 2")));
    expect(toHex(scalar)).toBe("05".repeat(32));
  });
});

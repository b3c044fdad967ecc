import { describe, expect, it } from "vitest";
import { Identity } from "../../../src/store/key-store.ts";
import type { RendezvousPoint } from "../../../src/traversal/signalling/channel.ts";
import {
  CODE_SPAN_MS,
  PAIR_SPAN_MS,
  pointOfLink,
  pointOfTicket,
  pointsOfCode,
  pointsOfPair,
  roomOfPoint,
} from "../../../src/traversal/signalling/rendezvous-point.ts";

const CODE = "42-ocean-lizard-maple";
const NOON = Date.UTC(2026, 10, 22, 12);
const ids = (points: readonly { readonly id: Uint8Array }[]) =>
  points.map(({ id }) => Buffer.from(id).toString("hex"));

async function allOf(code: string, nowMs: number): Promise<RendezvousPoint[]> {
  const points: RendezvousPoint[] = [];
  for await (const point of pointsOfCode(code, nowMs)) points.push(point);
  return points;
}

describe("the places of a code", () => {
  it("have one in common when the clocks are less than five minutes apart, whenever that is", async () => {
    const spans = {
      first: NOON + 1000,
      middle: NOON + CODE_SPAN_MS / 2 + 1000,
      last: NOON + CODE_SPAN_MS - 1000,
    };
    for (const at of Object.values(spans)) {
      const own = ids(await allOf(CODE, at));
      for (const skew of [-290_000, 0, 290_000]) {
        const peers = ids(await allOf(CODE, at + skew));
        expect(own.filter((id) => peers.includes(id)).length, `${at} ${skew}`).toBeGreaterThanOrEqual(1);
      }
    }
  }, 60_000);

  it("are others for another code, and two spans later", async () => {
    const own = ids(await allOf(CODE, NOON));
    expect(own[0]).not.toBe(own[1]);
    const others = [
      ...ids(await allOf("42-ocean-lizard-marble", NOON)),
      ...ids(await allOf(CODE, NOON + 2 * CODE_SPAN_MS)),
    ];
    expect(others.some((id) => own.includes(id))).toBe(false);
  }, 20_000);

  it("end when the last peer with a right clock has left them", async () => {
    const [own, neighbour] = await allOf(CODE, NOON + 1000);
    expect(own!.expiresAtMs).toBe(NOON + 1.5 * CODE_SPAN_MS);
    expect(neighbour!.expiresAtMs).toBe(NOON + 0.5 * CODE_SPAN_MS);
  });
});

describe("the places of a pair", () => {
  const a = new Identity(new Uint8Array(32).fill(1));
  const b = new Identity(new Uint8Array(32).fill(2));
  const c = new Identity(new Uint8Array(32).fill(3));

  it("are the same from both ends, and nobody else's", () => {
    expect(pointsOfPair(a, b.publicKey, NOON)).toEqual(pointsOfPair(b, a.publicKey, NOON));
    const own = ids(pointsOfPair(a, b.publicKey, NOON));
    expect(ids(pointsOfPair(a, c.publicKey, NOON)).some((id) => own.includes(id))).toBe(false);
    expect(ids(pointsOfPair(a, b.publicKey, NOON + 2 * PAIR_SPAN_MS)).some((id) => own.includes(id))).toBe(
      false,
    );
  });

  it("are refused for a key that shares no secret with any", () => {
    expect(() => pointsOfPair(a, new Uint8Array(32), NOON)).toThrow(
      expect.objectContaining({ code: "ERR_KEY_FORMAT" }),
    );
  });
});

describe("a place", () => {
  it("has four values that say nothing of each other, and depends on what it is of", () => {
    const secret = new Uint8Array(32).fill(7);
    const ticket = pointOfTicket(secret, NOON);
    const link = pointOfLink(secret);
    const values = [ticket, link].flatMap((point) => [
      point.id,
      point.seed,
      point.sealKey,
      point.checkKey,
      roomOfPoint(point),
    ]);
    expect(new Set(values.map((value) => Buffer.from(value).toString("hex"))).size).toBe(10);
    for (const value of values) expect(value).toHaveLength(32);
    expect(ticket.expiresAtMs).toBe(NOON);
    expect(link.expiresAtMs).toBe(Infinity);
  });
});

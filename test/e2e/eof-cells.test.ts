/**
 * The 24 cells of EOF. For each side × the state of the other direction × direction: ten pieces arrive one by
 * one, then the end arrives, while the other direction keeps its state and works afterwards.
 *
 * The side under test stands in a shell's real pipes, the other at sockets, so that a cell and its mirror
 * image ("in" at one side, "out" at the other) are two different tests.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BytePattern } from "../lib/byte-pattern.ts";
import { type Pair, startPair } from "../lib/pair.ts";
import { endAll, type SrudpProcess } from "../lib/srudp-process.ts";

const SIDES = ["connector", "listener"] as const;
const STATES = ["quiet", "filled", "done"] as const;
const DIRECTIONS = ["in", "out"] as const;
const CELLS = SIDES.flatMap((side) =>
  STATES.flatMap((state) => DIRECTIONS.map((direction) => ({ side, state, direction }))),
);
const filling = new BytePattern(24);

describe.each(CELLS)("$side, other direction $state, $direction", ({ side, state, direction }) => {
  let from: SrudpProcess;
  let to: SrudpProcess;

  beforeAll(async () => {
    const pipes = { stdin: "pipe", stdout: "pipe" } as const;
    const pair: Pair = await startPair(side === "connector" ? { connect: pipes } : { listen: pipes });
    const tested = pair[side];
    const other = side === "connector" ? pair.listener : pair.connector;
    from = direction === "out" ? tested : other;
    to = direction === "out" ? other : tested;
    // The other direction, from `to` to `from`, is brought into its state.
    if (state === "filled") await to.input.fill(filling);
    if (state === "done") {
      to.input.end();
      await from.output.end();
    }
  });

  afterAll(endAll);

  it("hands on ten pieces one by one", async () => {
    for (let n = 0; n < 10; n++) {
      const piece = `piece ${n}\n`;
      await from.input.write(piece);
      expect(await to.output.takeText(piece.length)).toBe(piece);
    }
  });

  it("hands on the end, and the other direction still works", async () => {
    from.input.end();
    await to.output.end();
    if (state === "done") {
      expect(await from.exit()).toBe(0);
      expect(await to.exit()).toBe(0);
      return;
    }
    // The end of one direction is not the end of the link: what comes now still arrives, and so does its end.
    const last = "and back\n";
    const written = to.input.writtenBytes;
    const wrote = to.input.write(last).then(() => to.input.end());
    filling.check(0, await from.output.take(written));
    expect(await from.output.takeText(last.length)).toBe(last);
    await wrote;
    await from.output.end();
    expect(await from.exit()).toBe(0);
    expect(await to.exit()).toBe(0);
    const closed = from.events.findLast(({ event }) => event === "closed");
    expect(closed?.received.bytes).toBe(written + last.length);
  });
});

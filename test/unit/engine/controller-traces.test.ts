/**
 * What the controllers do on a few paths, as traces that are kept: a change of behaviour that no rule forbids
 * is seen, and has to be wanted (`vitest -u` writes them anew).
 */
import { describe, expect, it } from "vitest";
import { Bbr } from "../../../src/engine/congestion/bbr.ts";
import type { CongestionController } from "../../../src/engine/congestion/congestion.ts";
import { Cubic } from "../../../src/engine/congestion/cubic.ts";
import { ControllerPath, type Moment, PACKET_BYTES } from "./controller-path.ts";

const CONTROLLERS: readonly [string, () => CongestionController][] = [
  ["bbr", () => new Bbr(PACKET_BYTES, () => 0.5)],
  ["cubic", () => new Cubic(PACKET_BYTES)],
];
const RUN_MS = 12_000;
/** Time between two lines while the phase stays what it is. */
const LINE_MS = 500;

const PATHS: readonly [string, (path: ControllerPath) => void][] = [
  ["clean", () => {}],
  ["lossy", (path) => (path.isLost = (number) => number % 100 === 70)],
  ["shallow", (path) => (path.queueBytes = 15_000)],
];

describe.each(CONTROLLERS)("%s", (name, make) => {
  it.each(PATHS)("on a path that is %s", async (kind, prepare) => {
    // 10 Mbit/s, 60 ms, a queue of two round trips where nothing else is said.
    const path = new ControllerPath(make(), { rate: 1250, rttMs: 60, queueBytes: 150_000 });
    prepare(path);
    const lines: string[] = ["    ms  phase                  window  in flight   rate"];
    let last: Moment | undefined;
    path.watch = (moment) => {
      const isNew = last === undefined || moment.phase !== last.phase || moment.atMs - last.atMs >= LINE_MS;
      if (!isNew) return;
      last = moment;
      lines.push(lineOf(moment));
    };
    path.run(RUN_MS);
    const { deliveredBytes, lostPackets, sentPackets } = path;
    lines.push(`${deliveredBytes} bytes delivered; ${sentPackets} packets sent, ${lostPackets} lost`, "");
    await expect(lines.join("\n")).toMatchFileSnapshot(`traces/${name}-${kind}.txt`);
  });
});

/** Packets and packets a second: rounded, so that only what matters shows. */
function lineOf({ atMs, phase, windowBytes, inFlightBytes, pacingRate }: Moment): string {
  const packets = (bytes: number): string => (bytes / PACKET_BYTES).toFixed(0);
  return [
    atMs.toFixed(0).padStart(6),
    ` ${phase.padEnd(20)}`,
    packets(windowBytes).padStart(8),
    packets(inFlightBytes).padStart(10),
    packets(1000 * pacingRate).padStart(6),
  ].join(" ");
}

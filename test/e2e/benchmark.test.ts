/** `npm run bench` itself: that its rows measure something, not how much. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { has } from "../lib/daemon.ts";
import { builtFile } from "../lib/paths.ts";
import { endAll, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

const run = promisify(execFile);

interface Report {
  readonly groups: Readonly<
    Record<string, { samples: Readonly<Record<string, Readonly<Record<string, number>>[]>> }>
  >;
}

async function bench(...words: string[]): Promise<{ report: Report; stdout: string }> {
  const json = join(temporaryFolder(), "report.json");
  const line = [
    fileURLToPath(builtFile("test/bench/speed.js")),
    "--seconds",
    "0.2",
    "--json",
    json,
    ...words,
  ];
  const { stdout } = await run(process.execPath, line);
  return { report: JSON.parse(readFileSync(json, "utf8")) as Report, stdout };
}

describe("the benchmark program", () => {
  it("measures the rows that were asked for, as often as asked for, and compares them", async () => {
    const { report, stdout } = await bench("--runs", "2", "loopback", "srudp", "tcp");
    const { samples } = report.groups.loopback!;
    expect(Object.keys(samples)).toEqual(["srudp", "tcp"]);
    for (const runs of Object.values(samples)) {
      expect(runs).toHaveLength(2);
      for (const { gigabitsPerSecond, cpuSecondsPerGigabyte, receiverMegabytes } of runs) {
        expect(gigabitsPerSecond).toBeGreaterThan(0.01);
        expect(gigabitsPerSecond).toBeLessThan(1000);
        expect(cpuSecondsPerGigabyte).toBeGreaterThan(0);
        expect(receiverMegabytes).toBeGreaterThan(10);
      }
    }
    expect(stdout).toMatch(/^\| srudp \| \d+\.\d\d \(/m);
    expect(stdout).not.toContain("FAILED");
  });

  it("times single bytes and first bytes", async () => {
    const { report } = await bench("--runs", "1", "latency", "connect", "srudp", "srudp connect");
    const { medianMs, p99Ms } = report.groups.latency!.samples.srudp![0]!;
    expect(medianMs).toBeGreaterThan(0);
    expect(p99Ms).toBeGreaterThanOrEqual(medianMs!);
    const { srudp, "srudp connect": command } = report.groups.connect!.samples;
    expect(srudp![0]!.medianMs).toBeGreaterThan(0);
    // A process has to start before it says anything, and says hello before it connects.
    const { helloMs, firstMs } = command![0]!;
    expect(helloMs).toBeGreaterThan(5);
    expect(firstMs).toBeGreaterThan(helloMs!);
  });

  it.runIf(process.getuid?.() === 0 && has("ip"))(
    "carries the command's pipe over a path of its own",
    async () => {
      const { report, stdout } = await bench("--runs", "1", "pipe");
      expect(stdout).toContain("1500-byte path");
      const [sample] = report.groups.pipe!.samples.pipe!;
      expect(sample!.gigabitsPerSecond).toBeGreaterThan(0.01);
      expect(sample!.cpuSecondsPerGigabyte).toBeGreaterThan(0);
    },
  );

  it("refuses a word that is neither group nor row, and names all there are", async () => {
    await expect(bench("loopback", "wireguard-go")).rejects.toMatchObject({
      code: 64,
      stderr: expect.stringContaining("throughput: srudp, ceiling"),
    });
  });
});

/** A short attack on a listener and a rendezvous server; `npm run attack:service` is the long one, with its figures. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { builtFile } from "../lib/paths.ts";
import type { AttackFigures } from "../security/attack-service-main.ts";
import { whyNoLab } from "./namespaces.ts";

const MAIN = fileURLToPath(builtFile("test/security/attack-service-main.js"));
const reason = whyNoLab();

/** Exits with 1 where it misses a goal for speed, which a busy machine may; the figures are printed all the same. */
function attack(words: readonly string[]): Promise<AttackFigures> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [MAIN, "--json", ...words], (error, stdout, stderr) => {
      if (stdout === "") reject(error ?? new Error(stderr));
      else resolve(JSON.parse(stdout) as AttackFigures);
    });
  });
}

it.skipIf(reason !== undefined)(
  "malicious peers and strangers end neither a listener nor a rendezvous server, fill neither up, and keep nobody out",
  async () => {
    const figures = await attack(["--seconds", "15", "--calm", "4"]);
    expect(figures.broken).toEqual([]);
    expect(figures.packetsPerSecond).toBeGreaterThan(2000);
    expect(figures.listenerGrownMb).toBeLessThan(50);
    expect(figures.rendezvousGrownMb).toBeLessThan(50);
    expect(figures.newcomers).toBeGreaterThan(0);
    expect(figures.echoes).toBeGreaterThan(0);
    expect(figures.attackMbit).toBeGreaterThan(0);
  },
  120_000,
);

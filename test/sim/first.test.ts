import { expect, it } from "vitest";
import { Pair } from "./pair.ts";
import { randomWorld } from "./random-world.ts";
it("runs", () => {
  const from = Number(process.env.FROM ?? 1), n = Number(process.env.N ?? 100);
  const t = performance.now();
  let events = 0, failed = 0; const kinds = new Map<string, number[]>();
  for (let s = from; s < from + n; s++) {
    const t0 = performance.now();
    const pair = new Pair(randomWorld(s));
    const r = pair.run();
    events += r.events;
    if (r.failure) { failed++; const key = (r.failure.name === "Breach" ? "" : r.failure.stack!.split("\n").slice(0,3).join("|")) + r.failure.message.replace(/[0-9.]+/g, "#"); kinds.set(key, [...(kinds.get(key) ?? []), s]); }
    const d = performance.now() - t0; if (d > 400) console.log("slow", s, d, r.events, r.virtualMs);
  }
  console.log(n, "seeds", failed, "failed", performance.now() - t, "ms", events, "events");
  for (const [k, v] of [...kinds].sort((a, b) => b[1].length - a[1].length)) console.log(v.length, k, v.slice(0, 6).join(","));
}, 600000);

import { it } from "vitest";
import { Pair } from "./pair.ts";
import { randomWorld } from "./random-world.ts";
it("runs", () => {
  for (const s of (process.env.SEEDS ?? "1").split(",")) {
    const plan = randomWorld(Number(s));
    const pair = new Pair(plan);
    const r = pair.run();
    console.log("SEED", s, r.failure?.message, "virtual", r.virtualMs, r.failure?.name === "Breach" ? "" : r.failure?.stack);
    if (process.env.SHOW) {
      console.log(JSON.stringify(plan, (k, v) => v === Infinity ? "inf" : v));
      for (const p of pair.peers) if (p.hasConnection) console.log(p.name, p.connection.state, p.connection.closeCause, p.connection.stats, p.isGone, "pollTimeout", p.connection.pollTimeout() - pair.world.now, p.connection.bufferedBytes);
      console.log(pair.network.left.link.counts, pair.network.right.link.counts);
      console.log([...pair.workload.streams.values()].map((s) => s.halves.map((h) => `${h.streamId}: ${h.written}/${h.plan.totalBytes} ${h.senderEnd} read ${h.read} ${h.receiverEnd} ${h.isWriterBlocked}`)).slice(0, 12), pair.workload.datagramPlansOver);
    }
  }
}, 600000);

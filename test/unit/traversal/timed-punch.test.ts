import { describe, expect, it } from "vitest";
import { bindConnecting } from "../../../src/link/bind.ts";
import type { Link } from "../../../src/link/link.ts";
import { Attempt } from "../../../src/link/link-attempt.ts";
import { Trust } from "../../../src/link/trust.ts";
import { slotPort, TimedPunch } from "../../../src/traversal/timed-punch.ts";

const PORT = 47_113;

/** Calls port 47113 of `address` from another port of `localAddress`, and by the clock's ports. */
async function traversal(address: string, localAddress: string, localPort: number): Promise<Link> {
  const endpoint = await bindConnecting({ localAddress, localPort }, [4]);
  const trust = new Trust({ code: "42-ocean-lizard-maple" });
  const attempt = Attempt.start(endpoint, trust, [{ address, port: PORT, socket: 0 }], {});
  const remotes = [{ address, family: 4 as const }];
  const slots = TimedPunch.start({ ...attempt.parts, remotes, port: PORT, localAddress });
  try {
    return await attempt.link;
  } finally {
    slots.close();
  }
}

describe("meeting by the clock", () => {
  it("gives both sides the same unprivileged port, and another in each slot", () => {
    const ports = Array.from({ length: 1000 }, (_, slot) => slotPort(4242, slot));
    expect(ports.every((port) => port >= 1024 && port <= 65535)).toBe(true);
    expect(new Set(ports).size).toBeGreaterThan(980);
    expect(slotPort(4243, 7)).not.toBe(slotPort(4242, 7));
  });

  it("links two who do not hear each other on the port that they were given", async () => {
    // Each sends to a port that the other does not have: only the slots' ports are the same on both sides.
    const [one, other] = await Promise.all([
      traversal("127.0.0.3", "127.0.0.2", 47_114),
      traversal("127.0.0.2", "127.0.0.3", 47_115),
    ]);
    expect([PORT, 47_114, 47_115]).not.toContain(one.remote.port);
    one.end("over");
    let heard = "";
    for await (const bytes of other) heard += String(bytes);
    expect(heard).toBe("over");
    other.end();
    one.resume();
    await Promise.all([one, other].map((link) => new Promise((resolve) => link.once("close", resolve))));
  }, 25_000);
});

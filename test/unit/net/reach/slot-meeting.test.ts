import { describe, expect, it } from "vitest";
import { connect } from "../../../../src/net/connect.ts";
import { slotPort } from "../../../../src/net/reach/slot-meeting.ts";

describe("meeting by the clock", () => {
  it("gives both sides the same unprivileged port, and another in each slot", () => {
    const ports = Array.from({ length: 1000 }, (_, slot) => slotPort(4242, slot));
    expect(ports.every((port) => port >= 1024 && port <= 65535)).toBe(true);
    expect(new Set(ports).size).toBeGreaterThan(980);
    expect(slotPort(4243, 7)).not.toBe(slotPort(4242, 7));
  });

  it("links two who do not hear each other on the port that they were given", async () => {
    // Each sends to a port that the other does not have: only the slots' ports are the same on both sides.
    const common = { code: "42-ocean-lizard-maple", port: 47_113, timeoutMs: 20_000 };
    const [one, other] = await Promise.all([
      connect({ ...common, host: "127.0.0.3", localAddress: "127.0.0.2", localPort: 47_114 }),
      connect({ ...common, host: "127.0.0.2", localAddress: "127.0.0.3", localPort: 47_115 }),
    ]);
    expect([47_113, 47_114, 47_115]).not.toContain(one.remote.port);
    one.end("over");
    let heard = "";
    for await (const bytes of other) heard += String(bytes);
    expect(heard).toBe("over");
    other.end();
    one.resume();
    await Promise.all([one, other].map((link) => new Promise((resolve) => link.once("close", resolve))));
  }, 25_000);
});

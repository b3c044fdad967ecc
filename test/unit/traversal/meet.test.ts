import { describe, expect, it } from "vitest";
import type { Link } from "../../../src/link/link.ts";
import type { TraversalEvent } from "../../../src/link/traversal-options.ts";
import { listen } from "../../../src/open/listener.ts";
import { meet } from "../../../src/open/meet.ts";
import { closing, startServer } from "../server/points.ts";

const CODE = "42-ocean-lizard-maple";

describe("meeting by a code", () => {
  it("links two who know nothing but the code", async () => {
    const server = await startServer();
    const notes: TraversalEvent[] = [];
    const ways = {
      rendezvous: [`udp://127.0.0.1:${server.port}`],
      dht: false,
      lan: false,
      portMapping: false,
      onNote: (note: TraversalEvent) => notes.push(note),
    };
    const listener = closing(await listen({ code: CODE, meet: ways }));
    const [link, other] = await Promise.all([
      meet({ code: CODE, meet: ways, timeoutMs: 20_000 }),
      new Promise<Link>((resolve) => listener.once("link", resolve)),
    ]);
    link.end("found you");
    let heard = "";
    for await (const bytes of other) heard += String(bytes);
    expect(heard).toBe("found you");
    other.end();
    link.resume();
    await Promise.all([link, other].map((one) => new Promise((resolve) => one.once("close", resolve))));
    expect(notes.some((note) => note.kind === "pair" && note.path === "lan")).toBe(true);
  }, 30_000);
});

import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { connect, type Link, type Listener, listen } from "../../../src/index.ts";

const CODE = "42-ocean-lizard-maple";

async function pair(): Promise<{ listener: Listener; near: Link; far: Link }> {
  const listener = await listen({ localAddress: "127.0.0.1", code: CODE });
  const arriving = once(listener, "link");
  const near = await connect({ host: "127.0.0.1", port: listener.port, code: CODE });
  const [far] = (await arriving) as [Link];
  return { listener, near, far };
}

describe("a link", () => {
  it("carries both directions, each to its own end", async () => {
    const { listener, near, far } = await pair();
    near.end("to the far side");
    far.end("to the near side");
    expect(await text(near)).toBe("to the near side");
    expect(await text(far)).toBe("to the far side");
    await Promise.all([once(near, "close"), once(far, "close")]);
    await listener.close();
  });

  it("carries a megabyte", async () => {
    const { listener, near, far } = await pair();
    const bytes = Buffer.alloc(8_000_000, "abcdefghij");
    far.end();
    near.end(bytes);
    expect((await buffer(far)).equals(bytes)).toBe(true);
    near.resume();
    await Promise.all([once(near, "close"), once(far, "close")]);
    await listener.close();
  });
});

/** Which local ports `connect` and `forward` hold while they call a peer, and while a link stands. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endAll, SrudpProcess, type StartOptions } from "../lib/srudp-process.ts";
import { Namespace, removeAllNamespaces, whyNoLab, wire } from "./namespaces.ts";

const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const PORT = 4242;
const NEAR = "10.99.0.1";
const FAR = "10.99.0.2";
const env = { SRUDP_CODE: "42-ocean-lizard-maple" };

describe.skipIf(obstacle !== undefined)("the peer's port number", () => {
  let near: Namespace;
  let far: Namespace;
  beforeAll(() => {
    near = new Namespace("near");
    far = new Namespace("far");
    wire(
      { namespace: near, device: "eth0", addresses: [`${NEAR}/24`, "2001:db8:9::1/64"] },
      { namespace: far, device: "eth0", addresses: [`${FAR}/24`, "2001:db8:9::2/64"] },
    );
  });
  afterEach(endAll);
  afterAll(removeAllNamespaces);

  function start(at: Namespace, words: readonly string[], options: StartOptions = {}): SrudpProcess {
    return SrudpProcess.start(words, { launcher: at.launcher, env, ...options });
  }

  /** The local UDP ports that are bound in a namespace. */
  function boundPorts(at: Namespace): number[] {
    const tables = at.run(["sh", "-c", "cat /proc/net/udp /proc/net/udp6"]);
    return [...tables.matchAll(/^ *\d+: [0-9A-F]+:([0-9A-F]{4}) /gm)].map(([, port]) => parseInt(port!, 16));
  }

  it("is free again once a standing forward has its link", async () => {
    const forward = start(near, ["forward", `${FAR}:${PORT}`, "-L", "8080:localhost:9"]);
    await expect.poll(() => boundPorts(near), { timeout: 20_000 }).toContain(PORT);
    start(far, ["listen", String(PORT), "--expose", "localhost:9"]);
    await forward.event("connected");
    expect(boundPorts(near)).not.toContain(PORT);
    const own = start(near, ["listen", String(PORT)]);
    expect((await own.event("listening")).port).toBe(PORT);
  });

  it.each([`${FAR}:${PORT}`, `[2001:db8:9::2]:${PORT}`])("is bound while %s is called", async (peer) => {
    start(near, ["connect", peer]);
    await expect.poll(() => boundPorts(near), { timeout: 20_000 }).toContain(PORT);
  });

  it("is never bound with --no-cross", async () => {
    const connector = start(near, ["connect", `${FAR}:${PORT}`, "--no-cross"]);
    // By then it would have been bound for long.
    await connector.event("silence");
    expect(boundPorts(near)).not.toContain(PORT);
  });

  it.each([NEAR, "[2001:db8:9::1]"])(
    "is left to a listener that starts after a connector to this machine's own address %s, and the two meet",
    async (host) => {
      const connector = start(near, ["connect", `${host}:${PORT}`]);
      await connector.event("silence");
      const listener = start(near, ["listen", String(PORT)]);
      await listener.event("listening");
      await connector.input.write("early");
      connector.input.end();
      listener.input.end();
      expect(String(await listener.output.rest())).toBe("early");
      expect(await connector.exit()).toBe(0);
      expect(await listener.exit()).toBe(0);
    },
  );

  it("is kept by a link that needs it: both sides connect, and neither listens", async () => {
    const one = start(near, ["connect", `${FAR}:${PORT}`]);
    await expect.poll(() => boundPorts(near), { timeout: 20_000 }).toContain(PORT);
    const other = start(far, ["connect", `${NEAR}:${PORT}`]);
    await Promise.all([one.event("connected"), other.event("connected")]);
    await one.input.write("from one");
    one.input.end();
    await other.input.write("from the other");
    other.input.end();
    expect(String(await one.output.rest())).toBe("from the other");
    expect(String(await other.output.rest())).toBe("from one");
    expect(await one.exit()).toBe(0);
    expect(await other.exit()).toBe(0);
  });
});

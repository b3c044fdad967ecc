/** What one peer does, or what goes wrong with its link, leaves the other links of a listener alone. */
import { afterEach, describe, expect, it } from "vitest";
import { connect, type Link } from "../../src/index.ts";
import { loopback, startListener } from "../lib/pair.ts";
import { newSecret, type SharedSecret } from "../lib/shared-secret.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

const links: Link[] = [];

afterEach(async () => {
  for (const link of links.splice(0)) link.destroy();
  await endAll();
});

/** A peer of the library's, which can do what the command never does. */
async function newPeer(port: number, { secret }: SharedSecret): Promise<Link> {
  const link = await connect({ host: "127.0.0.1", port, secret, timeoutMs: 10_000 });
  link.on("error", () => undefined);
  links.push(link);
  return link;
}

/** A listener that runs `cat` for each peer, and one peer that is connected to it. */
async function startEchoes(): Promise<Echoes> {
  const trust = newSecret();
  const { listener, port } = await startListener([...trust.words, "-k", "-e", "--", "cat"]);
  const bystander = SrudpProcess.start(["connect", loopback(port), ...trust.words]);
  await Promise.all([bystander.event("connected"), listener.event("connected")]);
  await expectEcho(bystander, "before\n");
  return { trust, listener, port, bystander };
}

interface Echoes {
  readonly trust: SharedSecret;
  readonly listener: SrudpProcess;
  readonly port: number;
  readonly bystander: SrudpProcess;
}

async function expectEcho(connector: SrudpProcess, text: string): Promise<void> {
  await connector.input.write(text);
  expect(await connector.output.takeText(text.length)).toBe(text);
}

describe("a peer that ends its link with an internal error", () => {
  it("is reported as the peer's error, and the listener serves the others", async () => {
    const { trust, listener, port, bystander } = await startEchoes();
    const peer = await newPeer(port, trust);
    await listener.event("connected");
    peer.reset("ERR_INTERNAL");
    expect(await listener.event("error")).toMatchObject({ code: "ERR_PEER_INTERNAL", exit: 74 });
    await expectEcho(bystander, "after\n");
    bystander.input.end();
    expect(await bystander.exit()).toBe(0);
  });
});

/** Questions on the terminal while stdin and stdout carry data; needs `python3` to make a terminal. */
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { canMakeTerminals, type Terminal } from "../lib/terminal.ts";

afterEach(endAll);

if (!canMakeTerminals)
  console.log("skipped: prompts on a terminal, since python3 with its pty module is absent");

/** A connector that has asked its question. */
async function connectAtTerminal(port: number): Promise<{ connector: SrudpProcess; terminal: Terminal }> {
  const connector = SrudpProcess.start(["connect", loopback(port)], { terminal: true });
  const terminal = connector.terminal!;
  await terminal.shown();
  return { connector, terminal };
}

describe.skipIf(!canMakeTerminals)("a code typed at the terminal", () => {
  it("links, while stdin and stdout stay data", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { connector, terminal } = await connectAtTerminal(port);
    terminal.type(`${CODE}\r`);
    await listener.event("connected");
    await connector.input.write("data\n");
    expect(await listener.output.takeText(5)).toBe("data\n");
    await listener.input.write("more\n");
    expect(await connector.output.takeText(5)).toBe("more\n");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("is completed by Tab and checked word by word", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { terminal } = await connectAtTerminal(port);
    terminal.type("42-ocean-lix");
    // A bell tells of the wrong letter, which one key takes away.
    await terminal.shown("\u0007");
    terminal.type("\u007fz\t");
    await terminal.shown("42-ocean-lizard-");
    terminal.type("maple\r");
    await listener.event("connected");
  });

  it("ends with 130 on Ctrl-C", async () => {
    const { port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { connector, terminal } = await connectAtTerminal(port);
    terminal.type("\u0003");
    expect(await connector.exit()).toBe(130);
  });
});

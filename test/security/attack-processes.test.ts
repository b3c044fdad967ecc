/**
 * The attacker of attack.test.ts between two real processes, in every trust mode: no link is made, or the link is
 * unharmed, and what one side sent is what the other has, to the byte.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Mode } from "../../src/engine/handshake/handshake.ts";
import { BytePattern } from "../lib/byte-pattern.ts";
import { keyCommand, newIdentity, secretFile } from "../lib/identities.ts";
import { CODE, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess, type StartOptions } from "../lib/srudp-process.ts";
import { Random } from "../sim/random.ts";
import { Attacker } from "./attacker.ts";
import { Relay } from "./relay.ts";

afterEach(endAll);

interface Words {
  readonly listen: readonly string[];
  readonly connect: readonly string[];
  readonly listenOptions?: StartOptions;
  readonly connectOptions?: StartOptions;
}

const WAYS: Readonly<Record<Exclude<Mode, "ticket">, () => Promise<Words>>> = {
  key: async () => {
    const [a, b] = [await newIdentity(), await newIdentity()];
    return {
      listen: ["--allow", b.key],
      connect: ["--peer", a.key],
      listenOptions: { configHome: a.configHome },
      connectOptions: { configHome: b.configHome },
    };
  },
  secret: async () => {
    const words = ["--secret-file", secretFile(await keyCommand(["secret"]))];
    return { listen: words, connect: words };
  },
  passphrase: async () => {
    const words = ["--passphrase-file", secretFile("correct horse battery staple")];
    return { listen: words, connect: words };
  },
  code: async () => {
    const options = { env: { SRUDP_CODE: CODE } };
    return { listen: [], connect: [], listenOptions: options, connectOptions: options };
  },
};

/** What an attacked connector may end with instead of a link: wrong code or key, nobody there, busy, version. */
const HONEST_STATUSES = [75, 76, 77];
const BYTES = 1 << 21;
const TRIES = 6;
/** At least so many in each mode. */
const MANIPULATIONS = 2500;

describe("an attacker between two processes", () => {
  it.each(Object.keys(WAYS) as (keyof typeof WAYS)[])(
    "makes no link and harms none (%s)",
    async (mode) => {
      const pattern = new BytePattern(mode.length);
      let manipulations = 0;
      let links = 0;
      for (let seed = 1; seed <= TRIES && (links < 2 || manipulations < MANIPULATIONS); seed++) {
        const words = await WAYS[mode]();
        const { listener, port } = await startListener(words.listen, words.listenOptions);
        const relay = await Relay.open(port);
        const rates = { handshake: 0.3, data: 0.45 };
        relay.attacker = new Attacker({ random: new Random(seed, `processes ${mode}`), mode, rates });
        const connector = SrudpProcess.start(
          ["connect", relay.address, "-w", "12", ...words.connect],
          words.connectOptions,
        );
        const isLinked = await Promise.race([
          connector.event("connected").then(() => true),
          connector.ended.then(() => false),
        ]);
        if (isLinked) {
          links++;
          const [there, back] = [listener.output.rest(), connector.output.rest()];
          await Promise.all([pumpAll(connector, pattern), pumpAll(listener, pattern)]);
          pattern.check(0, await there);
          pattern.check(0, await back);
          expect([(await there).length, (await back).length]).toEqual([BYTES, BYTES]);
          expect([await connector.exit(), await listener.exit()], `seed ${seed}`).toEqual([0, 0]);
        } else {
          expect(HONEST_STATUSES, `seed ${seed}`).toContain(await connector.exit());
          expect(listener.events.some(({ event }) => event === "connected")).toBe(false);
        }
        manipulations += relay.attacker.manipulations;
        relay.close();
        await endAll();
      }
      process.stdout.write(`by ${mode}: ${manipulations} manipulations, ${links} links, unharmed\n`);
      expect(links).toBeGreaterThan(0);
      expect(manipulations).toBeGreaterThan(MANIPULATIONS);
    },
    180_000,
  );
});

async function pumpAll(process: SrudpProcess, pattern: BytePattern): Promise<void> {
  await process.input.pump(pattern, BYTES);
  process.input.end();
}

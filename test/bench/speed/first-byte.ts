/** How long it takes from the wish to connect until the peer's first byte is here, on loopback. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSecret } from "../../../src/index.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../../lib/srudp-process.ts";
import { SECRET } from "./ours.ts";
import { LOOPBACK } from "./path.ts";
import { PeerProcess } from "./peer-process.ts";
import { quantile } from "./results.ts";

/** The first connection of a process compiles what the others find compiled. */
export interface FirstByte {
  readonly firstMs: number;
  readonly medianMs: number;
  readonly slowestMs: number;
}

/** Fewer than a listener lets in from one address in a row before it asks each for a cookie, 250 ms later. */
const CONNECTIONS = 26;

/** By calls in a process that is there: a transport of `contenders.ts`. */
export async function firstByte(contender: string): Promise<FirstByte> {
  const { address } = LOOPBACK;
  const greeter = new PeerProcess({ role: "greet", contender, address });
  let meeter: PeerProcess | undefined;
  try {
    const { port } = await greeter.says("ready");
    meeter = new PeerProcess({ role: "meet", contender, address, port, amount: CONNECTIONS });
    const { tookMs } = await meeter.says("timed");
    const [firstMs = Number.NaN, ...further] = tookMs;
    return { firstMs, medianMs: quantile(further, 0.5), slowestMs: Math.max(...further) };
  } finally {
    await meeter?.stop();
    await greeter.stop();
  }
}

/** From the start of `srudp connect` on: the first byte on its stdout, and its first word, said before it connects. */
export interface CommandFirstByte {
  readonly firstMs: number;
  readonly helloMs: number;
}

export async function firstByteOfCommand(): Promise<CommandFirstByte> {
  const { address } = LOOPBACK;
  const greeter = new PeerProcess({ role: "greet", contender: "srudp", address });
  try {
    const { port } = await greeter.says("ready");
    const file = join(temporaryFolder(), "secret");
    writeFileSync(file, encodeSecret(SECRET), { mode: 0o600 });
    const startedMs = performance.now();
    const command = SrudpProcess.start(["connect", `${address}:${port}`, "--secret-file", file]);
    const [hello] = await Promise.all([command.event("hello"), command.output.take(1)]);
    const firstMs = performance.now() - startedMs;
    return { firstMs, helloMs: command.heardAtMs(hello) - startedMs };
  } finally {
    await greeter.stop();
    await endAll();
  }
}

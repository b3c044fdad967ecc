/**
 * The link emulator as a program. By hand:
 *
 *     srudp listen 4242
 *     node dist/test/lib/emulator-main.js --listen 5000 --target 127.0.0.1:4242 --rate 50 --delay 25 --loss 0.01
 *     srudp connect 127.0.0.1:5000
 *
 * Started by a test (`emulator-process.ts`) it also takes orders over the parent's channel.
 */
import { parseArgs } from "node:util";
import type { LinkOptions } from "../sim/link.ts";
import { Emulator, type RebindSide } from "./emulator.ts";

/** An order of the parent process; each is answered by `{ event: "done", report }`. */
export interface EmulatorOrder {
  readonly up?: Partial<LinkOptions>;
  readonly down?: Partial<LinkOptions>;
  /** Times in ms from now. */
  readonly blackHole?: { readonly fromMs: number; readonly untilMs: number; readonly everyMs?: number };
  readonly rebind?: RebindSide;
  readonly address?: string;
}

interface Knob {
  readonly flag: string;
  readonly meaning: string;
  /** Writes the number given into the options. */
  readonly turn: (options: Partial<LinkOptions>, value: number) => void;
}

const KNOBS: readonly Knob[] = [
  { flag: "rate", meaning: "bottleneck, Mbit/s", turn: (o, n) => (o.rateMbit = n) },
  { flag: "queue", meaning: "queue before the bottleneck, bytes", turn: (o, n) => (o.queueBytes = n) },
  { flag: "queue-packets", meaning: "the same, packets", turn: (o, n) => (o.queuePackets = n) },
  { flag: "delay", meaning: "delay one way, ms", turn: (o, n) => (o.delayMs = n) },
  { flag: "jitter", meaning: "up to this much more, uniform, reordering, ms", turn: turnJitter },
  { flag: "loss", meaning: "random loss, 0 to 1", turn: (o, n) => (o.lossRate = n) },
  {
    flag: "burst-cap",
    meaning: "losses in a row before one passes",
    turn: (o, n) => (o.burstCapPackets = n),
  },
  { flag: "duplicate", meaning: "duplicated, 0 to 1", turn: (o, n) => (o.duplicateRate = n) },
  {
    flag: "reorder",
    meaning: "held back so that later ones pass, 0 to 1",
    turn: (o, n) => (o.reorderRate = n),
  },
  { flag: "reorder-delay", meaning: "for how long, ms", turn: (o, n) => (o.reorderDelayMs = n) },
  { flag: "corrupt", meaning: "one byte changed, 0 to 1", turn: (o, n) => (o.corruptRate = n) },
  { flag: "mtu", meaning: "larger IP packets vanish, bytes", turn: (o, n) => (o.mtuBytes = n) },
  {
    flag: "overhead",
    meaning: "headers counted a datagram, bytes (28; IPv6: 48)",
    turn: (o, n) => (o.overheadBytes = n),
  },
  {
    flag: "policer",
    meaning: "what exceeds this is dropped, Mbit/s (bucket 32 kB)",
    turn: (o, n) => (o.policer = { rateMbit: n, burstBytes: 32_000 }),
  },
];

function turnJitter(options: Partial<LinkOptions>, jitterMs: number): void {
  options.jitterMs = jitterMs;
  options.jitterReorders = true;
}

const HELP = `usage: emulator-main --target ADDRESS:PORT [--listen PORT] [--seed N] [knobs]

Each knob holds for both directions; with the prefix up- (towards the target) or down- for one.
${KNOBS.map(({ flag, meaning }) => `  --${flag.padEnd(16)}${meaning}`).join("\n")}
  --black-hole FROM-UNTIL[/EVERY]  nothing passes then, seconds since the start
The port and, at the end, what became of the datagrams are printed as lines of JSON.`;

const flags: Record<string, { type: "string" | "boolean" }> = {
  help: { type: "boolean" },
  listen: { type: "string" },
  target: { type: "string" },
  seed: { type: "string" },
  "black-hole": { type: "string" },
};
for (const side of ["", "up-", "down-"]) {
  for (const { flag } of KNOBS) flags[side + flag] = { type: "string" };
}

class UsageError extends Error {}

function numberOf(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new UsageError(`--${flag} wants a number, not "${text}"`);
  return value;
}

type Values = Record<string, string | boolean | undefined>;

function linkOptions(values: Values, side: "up-" | "down-"): Partial<LinkOptions> {
  const options: Partial<LinkOptions> = {};
  for (const prefix of ["", side]) {
    for (const { flag, turn } of KNOBS) {
      const text = values[prefix + flag];
      if (typeof text === "string") turn(options, numberOf(prefix + flag, text));
    }
  }
  return options;
}

function blackHole(text: string): NonNullable<EmulatorOrder["blackHole"]> {
  const match = /^([\d.]+)-([\d.]+)(?:\/([\d.]+))?$/.exec(text);
  if (match === null) throw new UsageError(`--black-hole wants FROM-UNTIL[/EVERY], not "${text}"`);
  const [fromMs = 0, untilMs = 0, everyMs = 0] = match.slice(1).map((part) => Number(part ?? 0) * 1000);
  return { fromMs, untilMs, ...(everyMs > 0 ? { everyMs } : {}) };
}

/** To the parent's channel if there is one, else to standard output. */
function say(message: Record<string, unknown>): void {
  if (process.send) process.send(message);
  else console.log(JSON.stringify(message));
}

async function main(): Promise<void> {
  const values: Values = parseArgs({ options: flags, strict: true }).values;
  const { help, target, listen = "0", seed = String(Date.now() % 0x8000_0000) } = values;
  if (help === true) {
    console.log(HELP);
    return;
  }
  const at = /^\[?([^\]]+)\]?:(\d+)$/.exec(String(target ?? ""));
  if (at === null) throw new UsageError("--target ADDRESS:PORT is needed");
  const emulator = await Emulator.open({
    listenPort: numberOf("listen", String(listen)),
    targetAddress: at[1]!,
    targetPort: Number(at[2]),
    seed: numberOf("seed", String(seed)),
    up: linkOptions(values, "up-"),
    down: linkOptions(values, "down-"),
  });
  const obey = async (order: EmulatorOrder): Promise<void> => {
    emulator.change(order.up ?? {}, order.down ?? {});
    const hole = order.blackHole;
    if (hole !== undefined) emulator.scheduleBlackHole(hole.fromMs, hole.untilMs, hole.everyMs);
    if (order.rebind !== undefined) await emulator.rebind(order.rebind, order.address);
  };
  if (typeof values["black-hole"] === "string") await obey({ blackHole: blackHole(values["black-hole"]) });
  say({ event: "ready", port: emulator.port, seed: Number(seed) });

  process.on("message", (order: EmulatorOrder) => {
    void obey(order).then(() => say({ event: "done", report: emulator.report() }));
  });
  const end = (): void => {
    if (process.send === undefined) say({ event: "end", ...emulator.report() });
    process.exit();
  };
  process.on("disconnect", () => process.exit());
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
}

try {
  await main();
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
  console.error(`emulator: ${(error as Error).message}`);
  process.exitCode = isUsage ? 64 : 71;
}

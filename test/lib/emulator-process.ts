/** Starts the link emulator as a process of its own, for tests and benchmarks. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LinkOptions } from "../sim/link.ts";
import type { EmulatorReport, RebindSide } from "./emulator.ts";
import type { EmulatorOrder } from "./emulator-main.ts";
import { builtFile } from "./paths.ts";

export interface EmulatedLink {
  /** `address:port` (or `[address]:port`) to be given to the connecting side. */
  readonly peer: string;
  readonly port: number;
  change(options: { up?: Partial<LinkOptions>; down?: Partial<LinkOptions> }): Promise<void>;
  /** Nothing passes between these times, ms from now. */
  blackHole(fromMs: number, untilMs: number): Promise<void>;
  rebind(side: RebindSide, address?: string): Promise<void>;
  report(): Promise<EmulatorReport>;
  stop(): void;
}

export interface EmulatedLinkOptions {
  readonly targetPort: number;
  /** 4 by default. */
  readonly family?: 4 | 6;
  readonly seed?: number;
  /** Knobs of both directions; `up` (towards the target) and `down` go before them. */
  readonly both?: Partial<LinkOptions>;
  readonly up?: Partial<LinkOptions>;
  readonly down?: Partial<LinkOptions>;
}

/** Resolves when the emulator takes datagrams. */
export async function startEmulator(options: EmulatedLinkOptions): Promise<EmulatedLink> {
  const loopback = options.family === 6 ? "[::1]" : "127.0.0.1";
  const seed = options.seed ?? 1;
  const child = fork(
    fileURLToPath(builtFile("test/lib/emulator-main.js")),
    ["--target", `${loopback}:${options.targetPort}`, "--seed", String(seed)],
    { execArgv: [], serialization: "advanced" },
  );
  const { port } = (await answer(child)) as { port: number };
  const order = async (message: EmulatorOrder): Promise<EmulatorReport> => {
    child.send(message);
    return ((await answer(child)) as { report: EmulatorReport }).report;
  };
  await order({ up: { ...options.both, ...options.up }, down: { ...options.both, ...options.down } });
  return {
    port,
    peer: `${loopback}:${port}`,
    change: async (message) => void (await order(message)),
    blackHole: async (fromMs, untilMs) => void (await order({ blackHole: { fromMs, untilMs } })),
    rebind: async (side, address) =>
      void (await order({ rebind: side, ...(address === undefined ? {} : { address }) })),
    report: () => order({}),
    stop: () => void child.kill(),
  };
}

function answer(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (code: number | null): void => reject(new Error(`the link emulator ended with ${code}`));
    child.once("exit", fail);
    child.once("message", (message) => {
      child.off("exit", fail);
      resolve(message);
    });
  });
}

/**
 * What may befall a link while 50 MB flow through it, and how soon it goes on: routers that forget, hosts that
 * move, a direct path that opens late, a minute without network, a minute without the process.
 */
import { performance } from "node:perf_hooks";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause, within } from "../lib/deadline.ts";
import type { SrudpProcess } from "../lib/srudp-process.ts";
import type { Internet } from "./internet.ts";
import { startEnd } from "./link-trial.ts";
import { freshCodeFile, MEETING_WORDS } from "./matrix.ts";
import type { NatTypeName } from "./nat-types.ts";
import { Site } from "./site.ts";

/** What a scenario may do to the two ends: the listener's site and the connector's. */
interface World {
  readonly internet: Internet;
  readonly listening: Site;
  readonly connecting: Site;
  readonly listener: SrudpProcess;
  readonly connector: SrudpProcess;
}

interface Scenario {
  readonly title: string;
  readonly nats: readonly [NatTypeName, NatTypeName];
  /** Before the two are started. */
  readonly before?: (internet: Internet) => void;
  /** What happens in mid-transfer; resolves when it is over, from which the time to repair counts. */
  readonly trouble: (world: World) => Promise<void> | void;
  /** Bytes flow again so soon. */
  readonly repairWithinMs: number;
  readonly endsOnPath?: "direct";
}

export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly nats: readonly [NatTypeName, NatTypeName];
  readonly firstPath?: string;
  readonly path?: string;
  /** From the end of the trouble until bytes arrived again for good. */
  readonly repairMs?: number;
  readonly limitMs: number;
  readonly tookMs?: number;
  readonly isRight: boolean;
  readonly trouble?: string;
}

const BYTES = 50_000_000;
const TROUBLE_AFTER_BYTES = 10_000_000;
const LINK_MBIT = 20;
const IDLE_TIMEOUT_S = 180;
const OUTAGE_MS = 60_000;
const TIMEOUT_MS = 240_000;
const pattern = new BytePattern(21);

const RESTRICTED = ["port-restricted", "port-restricted"] as const;

export const SCENARIOS = {
  a: {
    title: "a NAT rebinds to a random port",
    nats: RESTRICTED,
    trouble: ({ connecting }) => connecting.rebind(),
    repairWithinMs: 3000,
  },
  b: {
    title: "a host changes its address",
    nats: RESTRICTED,
    trouble: ({ connecting }) => connecting.changeHostAddress(),
    repairWithinMs: 3000,
  },
  c: {
    title: "both hosts change their addresses and both NATs rebind",
    nats: RESTRICTED,
    trouble: ({ connecting, listening }) => {
      for (const site of [connecting, listening]) {
        site.changeHostAddress();
        site.rebind();
      }
    },
    repairWithinMs: 10_000,
  },
  d: {
    title: "relayed, then a direct path opens",
    nats: RESTRICTED,
    before: (internet) => internet.blockBetweenSites(),
    trouble: ({ internet }) => internet.restore(),
    repairWithinMs: 3000,
    endsOnPath: "direct",
  },
  e: {
    title: "everything is cut for 60 s",
    nats: RESTRICTED,
    trouble: async ({ internet }) => {
      internet.cutEverything();
      await pause(OUTAGE_MS);
      internet.restore();
    },
    repairWithinMs: 10_000,
  },
  f: {
    title: "a process is stopped for 60 s",
    nats: RESTRICTED,
    trouble: async ({ listener }) => {
      listener.kill("SIGSTOP");
      await pause(OUTAGE_MS);
      listener.kill("SIGCONT");
    },
    repairWithinMs: 10_000,
  },
  g: {
    title: "a NAT rebinds and is symmetric from then on",
    nats: RESTRICTED,
    trouble: ({ connecting }) => connecting.rebind("symmetric"),
    repairWithinMs: 10_000,
  },
  h: {
    title: "a host without NAT changes its address",
    nats: ["port-restricted", "none"],
    trouble: ({ connecting }) => connecting.changeHostAddress(),
    repairWithinMs: 3000,
  },
} satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

/** Runs one scenario; whatever goes wrong is in the result. */
export async function survive(internet: Internet, name: ScenarioName): Promise<ScenarioResult> {
  const scenario: Scenario = SCENARIOS[name];
  const { title, nats, repairWithinMs: limitMs } = scenario;
  const sites = nats.map((nat, at) => new Site(internet, { side: at + 1, nat })) as [Site, Site];
  const processes: SrudpProcess[] = [];
  for (const side of [1, 2]) internet.limit(side, LINK_MBIT);
  scenario.before?.(internet);
  const base = { name, title, nats, limitMs };
  try {
    const run = runScenario(internet, scenario, sites, processes);
    const measured = await within(run, TIMEOUT_MS, () => "the scenario takes too long");
    const isOnPath = scenario.endsOnPath === undefined || measured.path === scenario.endsOnPath;
    return { ...base, ...measured, isRight: isOnPath && measured.repairMs <= limitMs };
  } catch (error) {
    const said = processes.map((one) => `--- ${one.name}\n${one.said}`);
    return { ...base, isRight: false, trouble: [String(error), ...said].join("\n") };
  } finally {
    for (const one of processes) one.kill("SIGKILL");
    await Promise.all(processes.map((one) => one.ended));
    for (const one of processes) one.release();
    internet.restore();
    for (const side of [1, 2]) internet.unlimit(side);
    for (const site of sites) site.remove();
  }
}

async function runScenario(
  internet: Internet,
  scenario: Scenario,
  [listening, connecting]: readonly [Site, Site],
  processes: SrudpProcess[],
): Promise<{ firstPath: string; path: string; repairMs: number; tookMs: number }> {
  const words = [
    "--code-file",
    freshCodeFile(),
    "--idle-timeout",
    String(IDLE_TIMEOUT_S),
    ...MEETING_WORDS,
    "-vv",
  ];
  const listener = startEnd({ host: listening.host, words: ["listen", ...words] });
  processes.push(listener);
  await listener.event("listening");
  const connector = startEnd({ host: connecting.host, words: ["connect", ...words] });
  processes.push(connector);
  const [connected] = await Promise.all([connector.event("connected"), listener.event("connected")]);

  const startedAtMs = performance.now();
  const silences = new SilenceRecord();
  let startTrouble = (): void => undefined;
  const isTime = new Promise<void>((resolve) => {
    startTrouble = resolve;
  });
  const sent = connector.input.pump(pattern, BYTES).then(() => connector.input.end());
  // Told when it is waited for.
  sent.catch(() => undefined);
  listener.input.end();
  const received = listener.output.check(
    pattern,
    (total) => {
      silences.heard();
      if (total >= TROUBLE_AFTER_BYTES) startTrouble();
      return undefined;
    },
    TIMEOUT_MS,
  );
  received.catch(() => undefined);
  await Promise.race([isTime, received]);
  silences.troubleBegins();
  await scenario.trouble({ internet, listening, connecting, listener, connector });
  silences.troubleEnds();
  await sent;
  const total = await received;
  const tookMs = performance.now() - startedAtMs;
  if (total !== BYTES) throw new Error(`${total} of ${BYTES} bytes came`);
  for (const one of processes) {
    const status = await one.exit();
    if (status !== 0) throw new Error(`${one.name}: ended with ${status}`);
  }
  const sha256 = listener.events.findLast(({ event }) => event === "closed")?.received.sha256;
  if (sha256 !== pattern.sha256(BYTES)) throw new Error(`the listener tells another SHA-256: ${sha256}`);
  const last = connector.events.findLast(({ event }) => event === "path") ?? connected;
  return {
    firstPath: String(connected.path),
    path: String(last.path).split("→").at(-1)!,
    repairMs: silences.repairMs(),
    tookMs,
  };
}

/** Within this of the trouble's end falls what it has caused; a later silence has other reasons. */
const AFTERMATH_MS = 2000;

/** When bytes came, as far as it matters: the longest silence that the trouble has caused. */
class SilenceRecord {
  #lastAtMs = 0;
  #beganAtMs = Number.POSITIVE_INFINITY;
  #endedAtMs = Number.POSITIVE_INFINITY;
  #longestMs = 0;
  #longestEndedAtMs = 0;

  heard(): void {
    const now = performance.now();
    const sinceMs = Math.max(this.#lastAtMs, this.#beganAtMs);
    this.#lastAtMs = now;
    const isCausedByIt = now >= this.#endedAtMs && sinceMs <= this.#endedAtMs + AFTERMATH_MS;
    if (!isCausedByIt || now - sinceMs < this.#longestMs) return;
    this.#longestMs = now - sinceMs;
    this.#longestEndedAtMs = now;
  }

  troubleBegins(): void {
    this.#beganAtMs = performance.now();
  }

  troubleEnds(): void {
    this.#endedAtMs = performance.now();
  }

  /** From the end of the trouble to the end of the longest silence that it caused. */
  repairMs(): number {
    return this.#longestEndedAtMs - this.#endedAtMs;
  }
}

/** As a table in Markdown. */
export function roamingTable(results: readonly ScenarioResult[]): string {
  const head = [
    "while 50 MB flow",
    "NATs",
    "path before → after",
    "flows again after, ms",
    "limit, ms",
    "in all, s",
    "",
  ];
  const rows = results.map((one) => [
    `(${one.name}) ${one.title}`,
    one.nats.join(" – "),
    `${one.firstPath ?? "–"} → ${one.path ?? "–"}`,
    one.repairMs?.toFixed(0) ?? "–",
    String(one.limitMs),
    one.tookMs === undefined ? "–" : (one.tookMs / 1000).toFixed(1),
    one.isRight ? "" : "**not as it must be**",
  ]);
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

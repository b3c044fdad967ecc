/** Bare UDP sockets in the lab's hosts, and ways to punch by hand with two of them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { pause, within } from "../lib/deadline.ts";
import { builtFile } from "../lib/paths.ts";
import { SERVER_ADDRESS, SERVER_ADDRESS_6, SERVER_SECOND_ADDRESS } from "./internet.ts";
import type { Namespace } from "./namespaces.ts";

export interface RawTarget {
  readonly address: string;
  readonly port: number;
}

export type RawCommand =
  | { readonly do: "ask"; readonly server: RawTarget }
  | {
      readonly do: "send";
      readonly targets: readonly RawTarget[];
      readonly ttl?: number;
      readonly count: number;
      readonly everyMs: number;
    };

export type RawEvent =
  | { readonly event: "bound"; readonly port: number }
  | { readonly event: "mapped"; readonly address: string; readonly port: number }
  | { readonly event: "linked"; readonly address: string; readonly port: number; readonly afterMs: number }
  | { readonly event: "sent" };

const EVENT_MS = 10_000;
const ANSWER_MS = 1000;
const ECHO_PORT = 7000;
const SERVERS = { 4: [SERVER_ADDRESS, SERVER_SECOND_ADDRESS], 6: [SERVER_ADDRESS_6] } as const;
/** Dies on the far half of the way, as the openings of srudp do. */
const LOW_TTL = 4;
const VOLLEYS = 20;
const EVERY_MS = 50;
/** After the last volley the answers have had time to come. */
const LINKED_WITHIN_MS = 500;
/** How far ahead of the other an early side sends. */
const EARLY_MS = 500;
const PREDICTED_PORTS = 16;

/** One socket in one host. */
export class RawPeer {
  readonly #child: ChildProcess;
  readonly #events: RawEvent[] = [];
  #wake: () => void = () => undefined;

  constructor(host: Namespace, address: string, port = 0) {
    const [program, ...launch] = host.launcher;
    const script = fileURLToPath(builtFile("test/lab/raw-peer-main.js"));
    this.#child = spawn(program!, [...launch, process.execPath, script, address, String(port)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.#events.push(JSON.parse(line) as RawEvent);
      this.#wake();
    });
  }

  order(command: RawCommand): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /** Takes the first event of this name out of what was told. */
  async event<Name extends RawEvent["event"]>(
    name: Name,
    timeoutMs: number = EVENT_MS,
  ): Promise<Extract<RawEvent, { event: Name }>> {
    const found = async (): Promise<RawEvent> => {
      for (;;) {
        const at = this.#events.findIndex(({ event }) => event === name);
        if (at >= 0) return this.#events.splice(at, 1)[0]!;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    return (await within(found(), timeoutMs, () => `no "${name}" from a raw peer`)) as Extract<
      RawEvent,
      { event: Name }
    >;
  }

  /** The public addresses that the servers see it at, asked one after the other. Rejects where none answers. */
  async mapped(servers: readonly string[]): Promise<readonly RawTarget[]> {
    const mapped: RawTarget[] = [];
    for (const address of servers) {
      this.order({ do: "ask", server: { address, port: ECHO_PORT } });
      mapped.push(await this.event("mapped", ANSWER_MS));
    }
    return mapped;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const isOver = once(this.#child, "exit");
    this.#child.stdin!.end();
    await isOver;
  }
}

/** What tells the others their public addresses: a socket an address, so that answers come from where was asked. */
export async function startEchoes(server: Namespace): Promise<{ stop(): Promise<void> }> {
  const addresses = [...SERVERS[4], ...SERVERS[6]];
  const echoes = addresses.map((address) => new RawPeer(server, address, ECHO_PORT));
  await Promise.all(echoes.map((echo) => echo.event("bound")));
  return {
    stop: async () => {
      await Promise.all(echoes.map((echo) => echo.stop()));
    },
  };
}

/**
 * `together`: both send to where the server saw the other. `early`: the first a while before the second.
 * `lowTtlFirst`: as `early`, but both first send what does not get as far as the other. `predicted`: as `together`, and
 * to the 16 ports behind it. `oneSided`: only the first sends.
 */
export type RawWay = "together" | "early" | "lowTtlFirst" | "predicted" | "oneSided";

/** Punches by hand from one host to the other. @returns whether packets got through and back, for both; not so where no server answers */
export async function punchRaw(
  hosts: readonly [Namespace, Namespace],
  way: RawWay,
  family: 4 | 6 = 4,
): Promise<boolean> {
  const peers = hosts.map((host) => new RawPeer(host, family === 6 ? "::" : "0.0.0.0")) as [RawPeer, RawPeer];
  try {
    await Promise.all(peers.map((peer) => peer.event("bound")));
    const seen = await Promise.all(peers.map((peer) => peer.mapped(SERVERS[family]).catch(() => undefined)));
    if (seen.includes(undefined)) return false;
    const targets = seen.map((mapped) => targetsFor(mapped!, way)) as [RawTarget[], RawTarget[]];
    const [one, other] = peers;
    if (way === "lowTtlFirst") {
      for (const [at, peer] of peers.entries()) {
        peer.order({ do: "send", targets: targets[1 - at]!, ttl: LOW_TTL, count: 1, everyMs: EVERY_MS });
      }
      await Promise.all(peers.map((peer) => peer.event("sent")));
    }
    const full = { do: "send", count: VOLLEYS, everyMs: EVERY_MS } as const;
    one.order({ ...full, targets: targets[1] });
    if (way === "early" || way === "lowTtlFirst") await pause(EARLY_MS);
    if (way !== "oneSided") other.order({ ...full, targets: targets[0] });
    const limitMs = VOLLEYS * EVERY_MS + LINKED_WITHIN_MS;
    const linked = peers.map((peer) =>
      peer.event("linked", limitMs).then(
        () => true,
        () => false,
      ),
    );
    return (await Promise.all(linked)).every((isLinked) => isLinked);
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()));
  }
}

function targetsFor(mapped: readonly RawTarget[], way: RawWay): RawTarget[] {
  const { address, port } = mapped.at(-1)!;
  const ahead = way === "predicted" ? PREDICTED_PORTS : 0;
  return Array.from({ length: ahead + 1 }, (_, step) => ({ address, port: port + step }));
}

/**
 * `forward` under attack by the peer that it has connected to: every kind of forward here, clients at its ports,
 * and a listener that answers as it likes. The command is made anew for each attack, since such a peer may end it.
 */

import type { ConnectionHandle } from "../../../src/link/connection-handle.ts";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { newConnection } from "../../../src/link/new-connection.ts";
import { Trust } from "../../../src/link/trust.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { within } from "../../lib/deadline.ts";
import { broken } from "../target.ts";
import { Xorshift } from "../xorshift.ts";
import { Attacker } from "./attacker.ts";
import { type Counts, handles } from "./inventory.ts";
import { meter } from "./meter.ts";
import { printScript, type Step, scriptOf } from "./script.ts";
import { SECRET, Targets } from "./targets.ts";
import type { StartVictim, Victim } from "./victim.ts";
import type { World } from "./world.ts";
import { ZeroPortSender } from "./zero-port-sender.ts";

const ATTACK_TIMEOUT_MS = 30_000;
/** Local forwards, whose ports are open before there is a link. */
const LOCAL_FORWARDS = 4;
/** Commands at the same time. */
const COMMANDS_MOST = 5;

interface Script {
  readonly steps: readonly Step[];
  /** For what the attacker decides as it goes. */
  readonly runtime: Xorshift;
}

export class ForwardWorld implements World {
  readonly #startVictim: StartVictim;
  readonly #targets: Targets = new Targets();
  readonly #trust: Trust = new Trust({ secret: SECRET });
  #zeroPort: ZeroPortSender | undefined;
  #endpoint!: Endpoint;
  #victims: Victim[] = [];
  /** Who takes the links that are to come. */
  readonly #waiting: { random: Xorshift; take: (attacker: Attacker) => void }[] = [];
  readonly #seen: Map<string, ConnectionHandle> = new Map();

  constructor(startVictim: StartVictim) {
    this.#startVictim = startVictim;
  }

  async start(): Promise<void> {
    await this.#targets.open();
    this.#zeroPort = ZeroPortSender.start();
    this.#endpoint = new Endpoint([await UdpSocket.bind({ family: 4, address: "127.0.0.1", port: 0 })]);
    meter.foreign.add(this.#endpoint);
    this.#endpoint.setListening(true);
    this.#endpoint.acceptFirstMessages((now, from, bytes) => {
      // A caller that hears nothing repeats itself, perhaps from another of its ports, under the same connection ID.
      const key = Buffer.from(bytes.subarray(11, 19)).toString("hex");
      const known = this.#seen.get(key);
      if (known !== undefined) {
        if (!known.detached) this.#endpoint.deliver(known, now, from, bytes);
        return;
      }
      // A command whose link has ended tries again: there is nobody any more.
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const attacker = new Attacker(next.random, this.#zeroPort);
      const parts = newConnection(this.#endpoint, () => attacker, {
        role: "responder",
        trust: this.#trust,
        paths: [],
        common: { secret: SECRET, idleTimeoutMs: 60_000 },
      });
      meter.foreignConnections.add(parts.connection);
      attacker.take(this.#endpoint, parts.connection, parts.connectionHandle);
      this.#seen.set(key, parts.connectionHandle);
      this.#endpoint.deliver(parts.connectionHandle, now, from, bytes);
      next.take(attacker);
    });
  }

  async attack(random: Xorshift): Promise<number> {
    this.#seen.clear();
    this.#victims = [];
    const inputs = await Promise.all(this.#scripts(random).map((script) => this.#attackOne(script)));
    return inputs.reduce((sum, one) => sum + one, 0);
  }

  /** One command from its start to its end, whose link runs into `script`. */
  async #attackOne({ steps, runtime }: Script): Promise<number> {
    const ports: number[] = [];
    const attacked = new Promise<number>((resolve, reject) => {
      this.#waiting.push({
        random: runtime,
        take: (attacker) => {
          attacker.addPorts(ports);
          attacker.run(steps).then(() => resolve(attacker.interactions), reject);
        },
      });
    });
    const victim = this.#startVictim("forward", this.#words(), this.#targets.environment);
    this.#victims.push(victim);
    const opened = async (): Promise<void> => {
      for (let n = 0; n < LOCAL_FORWARDS; n++) {
        const { bind } = await victim.event("forwarding");
        ports.push(Number(/:(\d+)(?:\/udp)?$/.exec(bind)?.[1]));
      }
    };
    opened().catch(() => undefined);
    const inputs = await within(attacked, ATTACK_TIMEOUT_MS, () => `the attack does not end (${victim.end})`);
    await victim.stop();
    return inputs;
  }

  #words(): string[] {
    const { tcpPort, udpPort, secretFile, words } = this.#targets;
    const target = `127.0.0.1:${tcpPort}`;
    const forwards = [
      ["-L", `0:${target}`],
      ["-L", `0:127.0.0.1:${udpPort}/udp`],
      ["-L", `127.0.0.1:0:${target}`],
      ["-D", "0"],
      ["-R", `0:${target}`],
      ["-R", `0:127.0.0.1:${udpPort}/udp`],
      ["-R", "0"],
    ];
    const peer = `127.0.0.1:${this.#endpoint.localAddresses[0]!.port}`;
    const exposed = words.filter((_, at) => words[at - (at % 2)] === "--expose");
    return [peer, "--secret-file", secretFile, ...forwards.flat(), ...exposed];
  }

  /** A peer may end its link as it likes, and with it the command; a fault of the command it may not cause. */
  check(): void {
    for (const { internal } of this.#victims)
      if (internal !== undefined) broken(`a fault of its own: ${internal}`);
  }

  held(): Counts {
    return handles();
  }

  async stop(): Promise<void> {
    this.#endpoint.close();
    this.#zeroPort?.stop();
    this.#targets.close();
    for (const victim of this.#victims) await victim.stop();
  }

  print(random: Xorshift): string {
    return this.#scripts(random)
      .map(({ steps }, n) => `peer ${n + 1}:\n${printScript(steps)}`)
      .join("\n");
  }

  #scripts(random: Xorshift): Script[] {
    const { targets, binds } = this.#targets;
    const weights = { visits: 12, "stray answers": 8, asks: 2, pipe: 1 };
    return Array.from({ length: 1 + random.below(COMMANDS_MOST) }, () => {
      const steps = scriptOf(random, { targets, binds, isInitiator: false, mostPhrases: 20, weights });
      return { steps, runtime: new Xorshift(random.u32()) };
    });
  }
}

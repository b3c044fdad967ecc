/**
 * `listen -k` under attack by peers that hold the secret: with exposed targets and ports to be asked for, or with
 * a program for each peer. One honest link beside them is used all the time.
 */

import { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../../src/app/forward/remote-port-registry.ts";
import { Endpoint } from "../../../src/link/endpoint.ts";
import type { Link } from "../../../src/link/link.ts";
import { newConnection } from "../../../src/link/new-connection.ts";
import { Trust } from "../../../src/link/trust.ts";
import { connect } from "../../../src/open/connect.ts";
import { UdpSocket as LinkSocket } from "../../../src/platform/udp/udp-socket.ts";
import { within } from "../../lib/deadline.ts";
import { broken } from "../target.ts";
import { Xorshift } from "../xorshift.ts";
import { Attacker } from "./attacker.ts";
import { hasOption } from "./command.ts";
import { EchoStream } from "./echo.ts";
import type { Counts } from "./inventory.ts";
import { meter } from "./meter.ts";
import { printScript, type Step, type Surroundings, scriptOf } from "./script.ts";
import { SECRET, Targets } from "./targets.ts";
import type { StartVictim, Victim } from "./victim.ts";
import type { World } from "./world.ts";
import { ZeroPortSender } from "./zero-port-sender.ts";

const ATTACKERS_MOST = 8;
const ECHO_TIMEOUT_MS = 10_000;

export type Service = "forwards" | "programs";

export class ListenWorld implements World {
  readonly #service: Service;
  readonly #targets: Targets = new Targets();
  readonly #startVictim: StartVictim;
  #victim!: Victim;
  #port = 0;
  #endpoint!: Endpoint;
  readonly #trust: Trust = new Trust({ secret: SECRET });
  #honest!: Link;
  #echo!: EchoStream;
  #zeroPort: ZeroPortSender | undefined;

  constructor(service: Service, startVictim: StartVictim) {
    this.#service = service;
    this.#startVictim = startVictim;
  }

  async start(): Promise<void> {
    await this.#targets.open();
    this.#zeroPort = ZeroPortSender.start();
    const bench = hasOption("listen", "--allow-bench") ? ["--allow-bench"] : [];
    const services = this.#service === "forwards" ? [...this.#targets.words, ...bench] : ["-e", "--", "cat"];
    const words = ["0", "-4", "-k", "--secret-file", this.#targets.secretFile, ...services];
    this.#victim = this.#startVictim("listen", words, this.#targets.environment);
    this.#port = (await this.#victim.event("listening")).port;
    this.#endpoint = new Endpoint([await LinkSocket.bind({ family: 4, address: "127.0.0.1", port: 0 })]);
    this.#endpoint.setListening(true);
    meter.foreign.add(this.#endpoint);
    await this.#startHonest();
  }

  async #startHonest(): Promise<void> {
    const isForwarding = this.#service === "forwards";
    const link = await connect({
      host: "127.0.0.1",
      port: this.#port,
      localPort: 0,
      family: 4,
      secret: SECRET,
      pipe: !isForwarding,
      timeoutMs: 10_000,
      idleTimeoutMs: Number.POSITIVE_INFINITY,
    });
    this.#honest = link;
    link.on("error", () => undefined);
    if (!isForwarding) {
      this.#echo = new EchoStream(link);
      return;
    }
    const peer = new ForwardPeer(link, {
      permissions: new Permissions(),
      remotePorts: new RemotePortRegistry(),
      watcher: { failed: () => undefined },
    });
    const { stream, answered } = await peer.reach({
      kind: "tcp",
      host: "127.0.0.1",
      port: this.#targets.tcpPort,
    });
    await answered;
    this.#echo = new EchoStream(stream);
  }

  async attack(random: Xorshift): Promise<number> {
    const scripts = this.#scripts(random);
    const attackers = scripts.map((script) => {
      const attacker = new Attacker(script.random, this.#zeroPort);
      const path = { address: "127.0.0.1", port: this.#port, socket: 0 };
      const parts = newConnection(this.#endpoint, () => attacker, {
        role: "initiator",
        trust: this.#trust,
        paths: [path],
        common: { secret: SECRET, idleTimeoutMs: 60_000 },
      });
      meter.foreignConnections.add(parts.connection);
      attacker.take(this.#endpoint, parts.connection, parts.connectionHandle);
      return attacker.run(script.steps).then(() => attacker.interactions);
    });
    const echoed = this.#echo.exchange(random.bytes(1 + random.below(20_000)));
    const [inputs] = await Promise.all([
      Promise.all(attackers),
      within(echoed, ECHO_TIMEOUT_MS, () => "the honest peer gets no answer"),
    ]);
    return inputs.reduce((sum, one) => sum + one, 0);
  }

  check(): void {
    const { end, internal } = this.#victim;
    if (internal !== undefined) broken(`a fault of its own: ${internal}`);
    if (end !== undefined) broken(`the listener has ended: ${end}`);
    if (this.#honest.destroyed)
      broken(`the honest link has ended: ${this.#honest.errored?.message ?? "closed"}`);
  }

  get residentBytes(): number | undefined {
    return this.#victim.residentBytes;
  }

  held(): Counts {
    return this.#victim.held();
  }

  async stop(): Promise<void> {
    this.#honest.destroy();
    this.#endpoint.close();
    this.#zeroPort?.stop();
    this.#targets.close();
    await this.#victim.stop();
  }

  print(random: Xorshift): string {
    return this.#scripts(random)
      .map(({ steps }, n) => `attacker ${n + 1}:\n${printScript(steps)}`)
      .join("\n");
  }

  #scripts(random: Xorshift): { random: Xorshift; steps: Step[] }[] {
    const isForwarding = this.#service === "forwards";
    const surroundings: Surroundings = {
      targets: this.#targets.targets,
      binds: this.#targets.binds,
      isInitiator: true,
      mostPhrases: isForwarding ? 20 : 4,
      ...(!isForwarding && { weights: { pipe: 30, receipts: 8 } }),
    };
    const count = 1 + random.below(ATTACKERS_MOST);
    return Array.from({ length: count }, () => {
      const steps = scriptOf(random, surroundings);
      return { random: new Xorshift(random.u32()), steps };
    });
  }
}

/**
 * One round of STUN requests for one socket: where it can be reached, and how the NAT in front of
 * it maps.
 *
 * Servers are asked one after the other, a few milliseconds apart, because the order of the
 * requests reveals sequential port allocation. Read `mapping-samples.ts` and `nat-probe.ts` with
 * it.
 */

import { resolveHost } from "../../link/resolve.ts";
import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import type { Candidate } from "../../wire/candidate-codec.ts";
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../../wire/nat-behaviour-codec.ts";
import { STUN_CLASS } from "../../wire/stun.ts";
import { hostCandidates, isOwnAddress } from "./host-candidates.ts";
import {
  classifyMapping,
  ENOUGH_SAMPLES,
  type MappingSample,
  mostFrequent,
  predictPorts,
} from "./mapping-samples.ts";
import {
  otherAddressOf,
  probeFiltering,
  probeHairpin,
  probePorts,
  type ServerWithOther,
} from "./nat-probe.ts";
import { STUN_WAIT_MS, type StunClient } from "./stun-client.ts";
import type { StunServer } from "./stun-server.ts";

/** Called with the results of a round as they are found. */
export interface GatheringListener {
  candidate(candidate: Candidate): void;
  behaviour(behaviour: NatBehaviour): void;
  /** A named server that did not answer or whose name is unknown. */
  silentServer(server: StunServer): void;
}

/** Interval between requests, so that a NAT sees them in order. */
const QUESTION_GAP_MS = 5;
/** Ports predicted for a NAT that allocates sequentially. */
const PREDICTED_PORTS = 16;
/** Fresh sockets that show from which range a NAT picks random ports. */
const EXTRA_PORTS = 4;

interface Target {
  readonly address: string;
  readonly port: number;
}

export class SocketGathering {
  readonly socket: DatagramSocket;
  readonly #client: StunClient;
  readonly #listener: GatheringListener;
  readonly #isNumeric: boolean;
  readonly #known: Map<string, Candidate> = new Map();
  /** In the order of the requests; holes where no answer has arrived. */
  readonly #samples: (MappingSample | undefined)[] = [];
  readonly #targets: Set<string> = new Set();
  #behaviour: NatBehaviour = UNKNOWN_BEHAVIOUR;
  #extraPorts: readonly number[] = [];
  #askedFiltering = false;
  #askedHairpin = false;
  #remotePorts = false;
  #mayProbe = false;
  readonly #waitingProbes: (() => Promise<unknown>)[] = [];
  readonly #probes: Promise<unknown>[] = [];
  #nextQuestionMs = 0;
  readonly #lookups: AbortController = new AbortController();
  #open = true;

  /** @param isNumeric no name is looked up */
  constructor(socket: DatagramSocket, client: StunClient, isNumeric: boolean, listener: GatheringListener) {
    this.socket = socket;
    this.#client = client;
    this.#isNumeric = isNumeric;
    this.#listener = listener;
  }

  get candidates(): Candidate[] {
    return [...this.#known.values()];
  }

  get behaviour(): NatBehaviour {
    return this.#behaviour;
  }

  /** Asks all servers; resolves when every request is answered or timed out, after 3 s at the latest. */
  async ask(servers: readonly StunServer[]): Promise<void> {
    for (const candidate of hostCandidates(this.socket.local)) this.#report(candidate);
    await Promise.all(servers.map((server) => this.#askServer(server)));
    this.#classify(true);
    this.conclude();
  }

  /** Resolves when the follow-up is complete too: what the NAT lets in. */
  async probed(): Promise<void> {
    await Promise.all(this.#probes);
  }

  /** Takes a candidate for this socket from another source. */
  add(candidate: Candidate): void {
    this.#report(candidate);
  }

  /**
   * Predicts ports from the answers so far and starts probing the NAT's filter; repeated calls
   * predict anew. Probes create mappings too, so they must not run between the requests that are
   * compared.
   */
  conclude(): void {
    this.#predict();
    if (!this.#open) return;
    this.#mayProbe = true;
    // The next ports of a sequential NAT are promised to the peer: no local probe may take them.
    if (this.#behaviour.portPattern === "sequential") this.#waitingProbes.length = 0;
    for (const probe of this.#waitingProbes.splice(0)) this.#probes.push(probe());
  }

  /** Ends all reports. */
  close(): void {
    this.#open = false;
    this.#lookups.abort();
  }

  async #askServer(server: StunServer): Promise<void> {
    const { family } = this.socket;
    try {
      const [first] = await resolveHost(server.host, {
        family,
        names: !this.#isNumeric,
        timeoutMs: STUN_WAIT_MS,
        signal: this.#lookups.signal,
      });
      const isAnswered = await this.#ask({ address: first!.address, port: server.port }, server);
      if (!isAnswered && this.#open) this.#listener.silentServer(server);
    } catch {
      if (this.#open) this.#listener.silentServer(server);
    }
  }

  /** Whether an answer arrived. Other addresses of the server are asked too while there are few. */
  async #ask(target: Target, server: StunServer): Promise<boolean> {
    const key = `${target.address} ${target.port}`;
    if (this.#targets.has(key)) return true;
    this.#targets.add(key);
    await this.#turn();
    if (!this.#open) return true;
    const order = this.#samples.length;
    this.#samples.push(undefined);
    const reply = await this.#client.ask(this.socket, target.address, target.port, { waitMs: STUN_WAIT_MS });
    const mapped = reply?.message.mappedAddress;
    if (!this.#open || reply === undefined) return reply !== undefined;
    if (reply.message.class !== STUN_CLASS.success || mapped?.family !== this.socket.family) return false;
    this.#samples[order] = {
      serverAddress: target.address,
      serverPort: target.port,
      address: mapped.address,
      port: mapped.port,
    };
    this.#report({ kind: "serverReflexive", ...mapped });
    const other = otherAddressOf(reply);
    this.#classify(false);
    if (other === undefined || other.family !== this.socket.family) return true;
    this.#askFiltering({ ...target, other });
    const more: Target[] = [
      { address: other.address, port: other.port },
      { address: target.address, port: other.port },
      { address: other.address, port: target.port },
    ];
    const asked = more.slice(0, Math.max(0, ENOUGH_SAMPLES - this.#targets.size));
    await Promise.all(asked.map((one) => this.#ask(one, server)));
    return true;
  }

  /** Waits for the turn of this request. */
  async #turn(): Promise<void> {
    const now = performance.now();
    const atMs = Math.max(now, this.#nextQuestionMs);
    this.#nextQuestionMs = atMs + QUESTION_GAP_MS;
    if (atMs > now) await new Promise((resolve) => setTimeout(resolve, atMs - now));
  }

  #predict(): void {
    const samples = this.#answered();
    const last = samples.at(-1);
    if (!this.#open || last === undefined) return;
    const { family, port: localPort } = this.socket.local;
    const { address } = mostFrequent(samples);
    for (const [key, candidate] of this.#known) if (candidate.kind === "predicted") this.#known.delete(key);
    for (const port of predictPorts(this.#behaviour, last.port, PREDICTED_PORTS))
      this.#report({ kind: "predicted", address, port, family });
    // The user may have opened the same port on the router by hand.
    if (!isOwnAddress(address)) this.#report({ kind: "predicted", address, port: localPort, family });
  }

  #classify(isFinal: boolean): void {
    const samples = this.#answered();
    const first = samples[0];
    if (!this.#open || first === undefined) return;
    const mapping = classifyMapping(this.socket.local.port, samples, this.#extraPorts, isFinal);
    this.#learn(mapping);
    if (mapping.mapping === "endpointIndependent") this.#askHairpin(mostFrequent(samples));
    if (mapping.isHard) this.#askPorts({ address: first.serverAddress, port: first.serverPort });
  }

  #askFiltering(server: ServerWithOther): void {
    if (this.#askedFiltering) return;
    this.#askedFiltering = true;
    this.#probe(() =>
      probeFiltering(this.#client, this.socket, server).then((filtering) => {
        if (filtering === "unknown") this.#askedFiltering = false;
        else this.#learn({ filtering });
      }),
    );
  }

  #askHairpin(mapped: MappingSample): void {
    if (this.#askedHairpin || isOwnAddress(mapped.address)) return;
    this.#askedHairpin = true;
    this.#probe(() =>
      probeHairpin(this.#client, this.socket, mapped).then((hairpin) => {
        if (hairpin !== undefined) this.#learn({ hairpin });
      }),
    );
  }

  #askPorts(server: Target): void {
    if (this.#remotePorts) return;
    this.#remotePorts = true;
    this.#probe(() =>
      probePorts(this.#client, this.socket, server, EXTRA_PORTS).then((ports) => {
        this.#extraPorts = ports;
        this.#classify(true);
      }),
    );
  }

  #probe(probe: () => Promise<unknown>): void {
    if (this.#mayProbe) this.#probes.push(probe());
    else this.#waitingProbes.push(probe);
  }

  #learn(found: Partial<NatBehaviour>): void {
    if (!this.#open) return;
    const next: NatBehaviour = { ...this.#behaviour, ...found };
    if (JSON.stringify(next) === JSON.stringify(this.#behaviour)) return;
    this.#behaviour = next;
    this.#listener.behaviour(next);
  }

  #report(candidate: Candidate): void {
    const key = `${candidate.address} ${candidate.port}`;
    if (!this.#open || this.#known.has(key)) return;
    this.#known.set(key, candidate);
    this.#listener.candidate(candidate);
  }

  #answered(): MappingSample[] {
    return this.#samples.filter((sample) => sample !== undefined);
  }
}

/**
 * Drives one punching agent over an endpoint's sockets: its checks out and in, its timer, and the sockets that
 * it asks for. The agent (`src/punch/agent.ts`) decides everything; this knows how.
 */

import type { Endpoint } from "../link/endpoint.ts";
import { DeadlineTimer } from "../platform/deadline-timer.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";
import type { PunchAgent } from "../punch/agent.ts";
import type { PunchEvent, PunchTransmit, SocketPurpose } from "../punch/punch-events.ts";
import { firstBytesOf, PACKET_NOTICE } from "../wire/packet.ts";

/** Connectivity checks are of the notice kind, and so is the packet that opens a timed punch. */
const FIRST_BYTES = firstBytesOf(PACKET_NOTICE);

/** What an agent tells beyond its wish for sockets. */
export type PunchEvents = Exclude<PunchEvent, { kind: "needSockets" } | { kind: "dropSockets" }>;

/** What an agent wishes for. */
interface Wish {
  readonly count: number;
  readonly family: 4 | 6;
  readonly purpose: SocketPurpose;
}

export interface PunchDriverOptions {
  readonly endpoint: Endpoint;
  readonly agent: PunchAgent;
  /** Source address of further sockets; undefined for any. */
  readonly localAddress: string | undefined;
  readonly onEvents: (events: PunchEvents) => void;
  /** Sockets that take the place of those before: what leads to them is to be found out. */
  readonly onFreshSockets: (sockets: readonly UdpSocket[]) => void;
  /** Whether a socket carries a link by now, and has to stay when the agent is done with it. */
  readonly isInUse: (socket: number) => boolean;
  /** A fault showed: the punching is over. */
  readonly onFault: (fault: unknown) => void;
}

export class PunchDriver {
  readonly agent: PunchAgent;
  readonly #options: PunchDriverOptions;
  readonly #timer: DeadlineTimer = new DeadlineTimer(() => this.#handleDue());
  readonly #endRoute: () => void;
  readonly #transmit: PunchTransmit = {
    socket: 0,
    address: "",
    port: 0,
    ttl: 0,
    bytes: new Uint8Array(0),
  };
  /** Sockets that were opened for the agent. */
  readonly #opened: Set<number> = new Set();
  #isPumping = false;
  #isOpen = true;

  constructor(options: PunchDriverOptions) {
    this.#options = options;
    this.agent = options.agent;
    this.#timer.holdProcess(false);
    this.#endRoute = options.endpoint.route(
      FIRST_BYTES.low,
      FIRST_BYTES.high,
      (now, { socket, address, port }, bytes) => {
        try {
          if (!this.agent.handleDatagram(now, socket.index, address, port, bytes)) return false;
          this.pump();
        } catch (fault) {
          options.onFault(fault);
        }
        return true;
      },
    );
  }

  /** To be called after every command to the agent. */
  pump(): void {
    // What an event leads to may be another command: it is seen by the round that is under way.
    if (!this.#isOpen || this.#isPumping) return;
    this.#isPumping = true;
    const { endpoint, onEvents } = this.#options;
    const { agent } = this;
    const transmit = this.#transmit;
    try {
      for (;;) {
        while (agent.pollTransmit(transmit)) {
          const socket = endpoint.socketAt(transmit.socket);
          const { bytes, address, port, ttl } = transmit;
          if (ttl === 0) socket?.send(bytes, address, port);
          else socket?.sendWithTtl(bytes, address, port, ttl);
        }
        const event = this.#isOpen ? agent.pollEvent() : undefined;
        if (event === undefined) break;
        if (event.kind === "needSockets") this.#openSockets(event).catch(this.#options.onFault);
        else if (event.kind === "dropSockets") this.#dropSockets(event.sockets);
        else onEvents(event);
      }
    } finally {
      this.#isPumping = false;
    }
    if (this.#isOpen) this.#timer.wakeBy(agent.pollTimeout(), this.#now());
  }

  #handleDue(): void {
    try {
      this.agent.handleTimeout(this.#now());
      this.pump();
    } catch (fault) {
      this.#options.onFault(fault);
    }
  }

  /** Ends the punching; sockets that carry nothing are closed. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#timer.stop();
    this.#endRoute();
    this.#dropSockets([...this.#opened]);
  }

  async #openSockets({ count, family, purpose }: Wish): Promise<void> {
    const { endpoint, localAddress: address, onFreshSockets } = this.#options;
    const fresh: UdpSocket[] = [];
    for (let i = 0; i < count && this.#isOpen; i++) {
      let socket: UdpSocket;
      try {
        socket = await UdpSocket.bind({ family, address, port: 0 });
      } catch {
        // Out of descriptors or ports: it goes on with what there is.
        break;
      }
      if (!this.#isOpen) {
        socket.close();
        return;
      }
      endpoint.addSocket(socket);
      fresh.push(socket);
      this.#opened.add(socket.index);
      this.agent.addLocal(this.#now(), {
        socket: socket.index,
        family,
        kind: "udp",
        candidates: [],
        purpose,
      });
      this.pump();
    }
    if (purpose === "main" && fresh.length > 0) onFreshSockets(fresh);
  }

  #dropSockets(sockets: readonly number[]): void {
    for (const socket of sockets) {
      if (!this.#opened.delete(socket) || this.#options.isInUse(socket)) continue;
      this.#options.endpoint.removeSocket(socket);
    }
  }

  #now(): number {
    return this.#options.endpoint.now();
  }
}

/**
 * Drives one punching agent over an endpoint's sockets: sends and receives its checks, runs its
 * timer and opens the sockets that it asks for. The agent (`src/punch/agent.ts`) makes all
 * decisions.
 */

import type { Endpoint } from "../link/endpoint.ts";
import { DeadlineTimer } from "../platform/deadline-timer.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";
import type { PunchAgent } from "../punch/agent.ts";
import type { PunchEvent, PunchTransmit, SocketPurpose } from "../punch/punch-events.ts";
import { firstBytesOf, PACKET_NOTICE } from "../wire/packet.ts";

/** First bytes of connectivity checks (docs/nat-traversal.md). */
const FIRST_BYTES = firstBytesOf(PACKET_NOTICE);

/** Agent events other than requests for sockets. */
export type PunchEvents = Exclude<PunchEvent, { kind: "needSockets" } | { kind: "dropSockets" }>;

/** Requests of the agent. */
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
  /** Called with sockets that replace the earlier ones; their addresses have to be gathered. */
  readonly onFreshSockets: (sockets: readonly UdpSocket[]) => void;
  /** Whether a link uses the socket, so that it must stay open when the agent is done. */
  readonly isInUse: (socket: number) => boolean;
  /** Called on an internal fault; punching has ended. */
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
  /** Sockets opened for the agent. */
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

  /** Call it after every command to the agent. */
  pump(): void {
    // Handling an event may issue another command; the loop in progress picks it up.
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

  /** Ends punching and closes sockets that no link uses. */
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
        // No descriptors or ports are left: punching continues with the open sockets.
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

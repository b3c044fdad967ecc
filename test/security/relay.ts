/** A relay between two real processes: what goes through it is kept, and changed where somebody is to change it. */
import type { Socket } from "node:dgram";
import { openUdp } from "../lib/udp.ts";
import type { Attacker } from "./attacker.ts";

export class Relay {
  /** Where the connector is sent. */
  readonly address: string;
  /** Every datagram that came by, in order. */
  readonly capture: Uint8Array[] = [];
  attacker: Attacker | undefined;
  /** Towards the connector, which speaks first; towards the listener; and an address of nobody's. */
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #foreign: Socket;
  readonly #listenerPort: number;
  #connectorPort = 0;
  #isOpen = true;

  private constructor(near: Socket, far: Socket, foreign: Socket, listenerPort: number) {
    this.#near = near;
    this.#far = far;
    this.#foreign = foreign;
    this.#listenerPort = listenerPort;
    this.address = `127.0.0.1:${near.address().port}`;
    near.on("message", (bytes, { port }) => {
      this.#connectorPort = port;
      this.#pass(1, bytes);
    });
    far.on("message", (bytes) => this.#pass(0, bytes));
  }

  static async open(listenerPort: number): Promise<Relay> {
    const sockets = await Promise.all([openUdp(), openUdp(), openUdp()]);
    for (const socket of sockets) socket.setRecvBufferSize(1 << 20);
    return new Relay(...sockets, listenerPort);
  }

  close(): void {
    this.#isOpen = false;
    for (const socket of [this.#near, this.#far, this.#foreign]) socket.close();
  }

  #pass(to: 0 | 1, datagram: Buffer): void {
    const bytes = Uint8Array.from(datagram);
    this.capture.push(bytes);
    if (this.attacker === undefined) {
      this.#send(to, bytes, false);
      return;
    }
    for (const arrival of this.attacker.handle(to, bytes)) {
      const send = (): void => this.#send(arrival.to, arrival.bytes, arrival.isForeign);
      // 10 and 11 are the simulator's way to say "now" and "right behind".
      if (arrival.delayMs <= 11) send();
      else setTimeout(send, arrival.delayMs / 10);
    }
  }

  #send(to: 0 | 1, bytes: Uint8Array, isForeign: boolean): void {
    const port = to === 1 ? this.#listenerPort : this.#connectorPort;
    if (!this.#isOpen || port === 0) return;
    const socket = isForeign ? this.#foreign : to === 1 ? this.#far : this.#near;
    socket.send(bytes, port, "127.0.0.1");
  }
}

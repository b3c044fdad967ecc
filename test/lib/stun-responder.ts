/**
 * A STUN server with two addresses and two ports on loopback that can pretend a NAT stood in front of it: what
 * it "saw", what it stays silent about, and what its answers from elsewhere get through.
 */
import type { Socket } from "node:dgram";
import { parseStun, STUN_ATTRIBUTE, STUN_CHANGE, STUN_CLASS, StunWriter } from "../../src/wire/stun.ts";
import { openUdp, unusedPort } from "./udp.ts";

/** Which of the server's two addresses and two ports. */
export interface Corner {
  readonly address: 0 | 1;
  readonly port: 0 | 1;
}

export interface Sight {
  readonly address: string;
  readonly port: number;
}

export interface ResponderOptions {
  /** What the server says it saw of a request; undefined for silence. Default: the truth. */
  readonly see?: (from: Sight, at: Corner, count: number) => Sight | undefined;
  /** Whether an answer gets from this corner through the pretended filter. Default: from wherever it was asked. */
  readonly lets?: (asked: Corner, answers: Corner) => boolean;
  /** Whether it says that it has another address. Default true. */
  readonly tellsOther?: boolean;
  /** Whether it does what CHANGE-REQUEST asks for. Default true. */
  readonly changes?: boolean;
}

const ADDRESSES = ["127.0.0.1", "127.0.0.2"] as const;

export class StunResponder {
  readonly ports: readonly [number, number];
  /** Requests that came, with what they asked to be changed. */
  readonly asked: { at: Corner; from: Sight; change: number }[] = [];
  readonly #sockets: Map<string, Socket> = new Map();
  readonly #options: ResponderOptions;

  private constructor(ports: readonly [number, number], options: ResponderOptions) {
    this.ports = ports;
    this.#options = options;
  }

  static async start(options: ResponderOptions = {}): Promise<StunResponder> {
    const responder = new StunResponder([await unusedPort(), await unusedPort()], options);
    for (const address of [0, 1] as const)
      for (const port of [0, 1] as const) await responder.#listen({ address, port });
    return responder;
  }

  address(corner: Corner): Sight {
    return { address: ADDRESSES[corner.address], port: this.ports[corner.port] };
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  async #listen(at: Corner): Promise<void> {
    const socket = await openUdp(ADDRESSES[at.address], this.ports[at.port]);
    this.#sockets.set(keyOf(at), socket);
    socket.on("message", (bytes: Uint8Array, from) => this.#answer(at, bytes, from));
  }

  #answer(at: Corner, bytes: Uint8Array, from: Sight): void {
    const request = parseStun(bytes);
    if (request?.class !== STUN_CLASS.request) return;
    const change = request.u32(STUN_ATTRIBUTE.changeRequest) ?? 0;
    this.asked.push({ at, from: { address: from.address, port: from.port }, change });
    const { see, lets, tellsOther = true, changes = true } = this.#options;
    const seen = see === undefined ? from : see(from, at, this.asked.length);
    if (seen === undefined) return;
    const answers: Corner = changes
      ? {
          address: (change & STUN_CHANGE.address) === 0 ? at.address : other(at.address),
          port: (change & STUN_CHANGE.port) === 0 ? at.port : other(at.port),
        }
      : at;
    if (keyOf(answers) !== keyOf(at) && lets?.(at, answers) !== true) return;
    const writer = new StunWriter(request.method, STUN_CLASS.success, request.transactionId);
    writer.xorAddress(STUN_ATTRIBUTE.xorMappedAddress, seen.address, seen.port);
    if (tellsOther) {
      const elsewhere = this.address({ address: other(at.address), port: other(at.port) });
      writer.address(STUN_ATTRIBUTE.otherAddress, elsewhere.address, elsewhere.port);
    }
    this.#sockets.get(keyOf(answers))?.send(writer.fingerprint().finish(), from.port, from.address);
  }
}

function other(which: 0 | 1): 0 | 1 {
  return which === 0 ? 1 : 0;
}

function keyOf({ address, port }: Corner): string {
  return `${address} ${port}`;
}

/** Stands between peers and a rendezvous server as the server's operator could, and changes what goes to the peers. */
import type { Socket } from "node:dgram";
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  isRelayed,
  RELAY_HEAD_BYTES,
} from "../../src/wire/mailbox-messages.ts";
import { openUdp } from "./udp.ts";

/**
 * - `nothing`: it is honest
 * - `change`: one bit of every signal
 * - `reflect`: everybody gets the own signal in place of the peer's
 * - `garble`: one bit of every relayed datagram
 */
export type Cheat = "nothing" | "change" | "reflect" | "garble";

/** A peer as the proxy knows it. */
interface Client {
  /** What stands for it at the server. */
  readonly back: Promise<Socket>;
  ownBlob: Uint8Array;
  localDigest: Uint8Array;
}

export class CheatingProxy {
  readonly port: number;
  /** How often it has cheated. */
  changes = 0;
  readonly #front: Socket;
  readonly #upstream: number;
  readonly #cheat: Cheat;
  readonly #clients: Map<string, Client> = new Map();

  private constructor(front: Socket, upstream: number, cheat: Cheat) {
    this.#front = front;
    this.port = front.address().port;
    this.#upstream = upstream;
    this.#cheat = cheat;
    front.on("message", (bytes: Uint8Array, from) => void this.#forward(bytes, from.address, from.port));
  }

  /** @param upstream the real server's port */
  static async start(upstream: number, cheat: Cheat): Promise<CheatingProxy> {
    return new CheatingProxy(await openUdp(), upstream, cheat);
  }

  async close(): Promise<void> {
    this.#front.close();
    for (const { back } of this.#clients.values()) (await back).close();
  }

  async #forward(bytes: Uint8Array, address: string, port: number): Promise<void> {
    const client = this.#clientAt(address, port);
    const request = decodeRequest(bytes);
    if (request?.kind === "meet" && request.blob.length > 0) {
      client.ownBlob = request.blob;
      client.localDigest = Uint8Array.from(request.localDigest);
    }
    (await client.back).send(bytes, this.#upstream, "127.0.0.1");
  }

  #clientAt(address: string, port: number): Client {
    const key = `${address} ${port}`;
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const client: Client = { back: openUdp(), ownBlob: new Uint8Array(0), localDigest: new Uint8Array(8) };
    this.#clients.set(key, client);
    void client.back.then((back) =>
      back.on("message", (answer: Uint8Array) =>
        this.#front.send(this.#change(answer, client), port, address),
      ),
    );
    return client;
  }

  #change(bytes: Uint8Array, { ownBlob, localDigest }: Client): Uint8Array {
    if (this.#cheat === "nothing") return bytes;
    if (this.#cheat === "garble") {
      if (!isRelayed(bytes)) return bytes;
      this.changes++;
      return withBitFlipped(bytes, (RELAY_HEAD_BYTES + bytes.length) >> 1);
    }
    const reply = decodeReply(bytes);
    if (reply?.kind !== "state" || reply.blob.length === 0) return bytes;
    this.changes++;
    return this.#cheat === "reflect"
      ? encodeReply({ ...reply, peerDigest: localDigest, blob: ownBlob })
      : encodeReply({ ...reply, blob: withBitFlipped(reply.blob, reply.blob.length >> 1) });
  }
}

function withBitFlipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at]! ^= 1;
  return changed;
}

/** One stream of a link, by the library as anybody uses it. */
import { connect, type Link, type Listener, listen, type Stream } from "../../../src/index.ts";
import { type Contender, writeFor } from "./contender.ts";

const secret: Uint8Array = new Uint8Array(32).fill(3);

export class Ours implements Contender {
  readonly #streams: number;
  readonly #links: number;

  /** @param streams streams of each link that the bytes are spread over; 1 is the link's own */
  constructor(streams = 1, links = 1) {
    this.#streams = streams;
    this.#links = links;
  }

  async receive(address: string, onBytes: (byteLength: number) => void): Promise<number> {
    const listener: Listener = await listen({ localAddress: address, secret, maxLinks: this.#links });
    const count = ({ length }: Uint8Array): void => onBytes(length);
    listener.on("link", (link: Link) => {
      link.on("data", count);
      link.on("error", () => undefined);
      link.on("stream", (stream) => {
        stream.on("data", count);
        stream.on("error", () => undefined);
      });
    });
    return listener.port;
  }

  async send(address: string, port: number, forMs: number): Promise<void> {
    const links = await Promise.all(
      Array.from({ length: this.#links }, () => connect({ host: address, port, localPort: 0, secret })),
    );
    for (const link of links) link.on("error", () => undefined);
    const streams: Stream[] = [];
    for (const link of links) {
      if (this.#streams === 1) streams.push(link);
      else for (let i = 0; i < this.#streams; i++) streams.push(await link.openStream());
    }
    for (const stream of streams) stream.on("error", () => undefined);
    await Promise.all(streams.map((stream) => writeFor(stream, forMs)));
    for (const link of links) link.destroy();
  }
}

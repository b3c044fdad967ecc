/** The library as anybody uses it: a link's own stream, many streams, or many links to one listener. */
import { connect, type Link, listen, type Stream, type TrustOptions } from "../../../src/index.ts";
import type { Channel, Transport } from "./channel.ts";

/** What both ends know, in processes that this program starts. */
export const SECRET: Uint8Array = new Uint8Array(32).fill(3);
/** Those that are still ending count as well. */
const LINKS_LIMIT = 1000;
const CODE = "42-ocean-lizard-maple";

export class Ours implements Transport {
  readonly #streams: number;
  readonly #links: number;
  readonly #trust: TrustOptions;

  /** @param options streams of each link, of which 1 is the link's own; and how the ends know each other */
  constructor({ streams = 1, links = 1, isByCode = false } = {}) {
    this.#streams = streams;
    this.#links = links;
    this.#trust = isByCode ? { code: CODE } : { secret: SECRET };
  }

  async accept(address: string, onChannel: (channel: Channel) => void): Promise<number> {
    const listener = await listen({ localAddress: address, ...this.#trust, maxLinks: LINKS_LIMIT });
    const take = (stream: Stream): void => {
      stream.on("error", () => undefined);
      onChannel(stream);
    };
    listener.on("link", (link: Link) => {
      // A code serves once.
      listener.setCode(this.#trust.code);
      take(link);
      link.on("stream", take);
    });
    return listener.port;
  }

  async connect(address: string, port: number): Promise<Stream[]> {
    const links = await Promise.all(
      Array.from({ length: this.#links }, () =>
        connect({ host: address, port, localPort: 0, ...this.#trust }),
      ),
    );
    const streams: Stream[] = [];
    for (const link of links) {
      if (this.#streams === 1) streams.push(link);
      else for (let i = 0; i < this.#streams; i++) streams.push(await link.openStream());
    }
    for (const stream of [...links, ...streams]) stream.on("error", () => undefined);
    return streams;
  }
}

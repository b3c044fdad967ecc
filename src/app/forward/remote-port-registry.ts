/**
 * The ports that peers have opened on this machine, over all links of the process. A port belongs to the link that
 * requested it. When another link requests the same port and the first link's peer is dead, the port is reassigned, so
 * that a peer that reconnects gets its port again.
 */
import { type Address, formatTarget } from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import { answers } from "./liveness.ts";
import type { OpenPort } from "./stream-port.ts";

/** How long the holder of a port may take to answer a ping. */
const SIGN_OF_LIFE_MS = 1500;

interface PortOwnership {
  readonly link: Link;
  readonly port: OpenPort;
}

export class RemotePortRegistry {
  readonly #ownerships: Map<string, PortOwnership> = new Map();

  get count(): number {
    return this.#ownerships.size;
  }

  /**
   * The port that `open` opens, after a holder whose peer does not answer has lost it.
   *
   * @throws SrudpError ERR_FORWARD_BIND
   */
  async take(bind: Address, link: Link, open: () => Promise<OpenPort>): Promise<OpenPort> {
    const ownership = this.#ownerships.get(formatTarget(bind));
    if (
      ownership !== undefined &&
      ownership.link !== link &&
      !(await answers(ownership.link, SIGN_OF_LIFE_MS))
    ) {
      this.release(ownership.port);
      // The holder's peer is dead, so its whole link is destroyed.
      ownership.link.destroy();
    }
    const port = await open();
    this.#ownerships.set(formatTarget(port.address), { link, port });
    return port;
  }

  release(port: OpenPort): void {
    const key = formatTarget(port.address);
    if (this.#ownerships.get(key)?.port === port) this.#ownerships.delete(key);
    port.close();
  }
}

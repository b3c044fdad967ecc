/**
 * The ports that peers have opened on this machine, over all links of the process. A port belongs
 * to the link that requested it. If another link requests the same port and the peer of the first
 * link is dead, the port is reassigned. This way a peer that reconnects gets its port again.
 */
import { type Address, formatTarget } from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import { answers } from "./liveness.ts";
import type { OpenPort } from "./stream-port.ts";

/** How long the peer that holds a port may take to answer a ping. */
const PING_TIMEOUT_MS = 1500;

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
   * Opens a port with `open`. If another link holds the port and its peer does not answer, that
   * link is destroyed first.
   *
   * @throws SrudpError ERR_FORWARD_BIND
   */
  async take(bind: Address, link: Link, open: () => Promise<OpenPort>): Promise<OpenPort> {
    const ownership = this.#ownerships.get(formatTarget(bind));
    if (
      ownership !== undefined &&
      ownership.link !== link &&
      !(await answers(ownership.link, PING_TIMEOUT_MS))
    ) {
      this.release(ownership.port);
      // The peer that holds the port is dead, so its whole link is destroyed.
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

/**
 * The ports that peers have had opened on this machine, over all links of the process. A port belongs to the link
 * that asked for it; when another asks for the same and the first one's peer has gone without a word, it changes
 * hands, so that a peer that comes back finds its port free.
 */
import { type Address, formatTarget } from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import { answers } from "./liveness.ts";
import type { OpenPort } from "./stream-port.ts";

/** How long a holder may take to show that it is there. */
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
   * What `open` opens, after whoever holds the port and does not answer has lost it.
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
      // Its peer is gone for good: what else hangs on that link need not wait any longer.
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

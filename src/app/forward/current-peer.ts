/** The peer of whichever link stands at the moment: local ports stay open while links come and go. */
import { SrudpError } from "../../base/errors.ts";
import type { Target } from "../../net/forward-wire.ts";
import type { FlowChannel, FlowOptions } from "./flow-channel.ts";
import type { ForwardPeer } from "./forward-peer.ts";
import type { Reached, Via } from "./via.ts";

/** A connection that comes while there is no link waits so long for the next one, and is reset then. */
const PATIENCE_MS = 10_000;

export class CurrentPeer implements Via {
  #peer: ForwardPeer | undefined;
  #waiting: ((peer: ForwardPeer) => void)[] = [];

  get peer(): ForwardPeer | undefined {
    return this.#peer;
  }

  /** The peer of the link that stands now; undefined while there is none. */
  set(peer: ForwardPeer | undefined): void {
    this.#peer = peer;
    if (peer === undefined) return;
    for (const go of this.#waiting.splice(0)) go(peer);
  }

  async reach(target: Target): Promise<Reached> {
    return (await this.#await()).reach(target);
  }

  async reachFlow(
    target: Target,
    flow: FlowOptions,
    onOpen: (channel: FlowChannel) => void,
  ): Promise<SrudpError | undefined> {
    return (await this.#await()).reachFlow(target, flow, onOpen);
  }

  #await(): Promise<ForwardPeer> {
    if (this.#peer !== undefined) return Promise.resolve(this.#peer);
    return new Promise((resolve, reject) => {
      const go = (peer: ForwardPeer): void => {
        clearTimeout(timer);
        resolve(peer);
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((one) => one !== go);
        reject(new SrudpError("ERR_LINK_LOST"));
      }, PATIENCE_MS);
      this.#waiting.push(go);
    });
  }
}

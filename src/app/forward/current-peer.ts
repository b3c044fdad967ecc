/** The peer of the current link. Local ports stay open while links end and are replaced. */
import { SrudpError } from "../../base/errors.ts";
import type { Target } from "../../link/forward-records.ts";
import type { Dialer, DialResult } from "./dialer.ts";
import type { ForwardPeer } from "./forward-peer.ts";
import type { FlowOptions, UdpAssociation } from "./udp/udp-association.ts";

/** How long a connection waits for a link before it is reset. */
const TIMEOUT_MS = 10_000;

interface Waiting {
  readonly resolve: (peer: ForwardPeer) => void;
  readonly reject: (error: SrudpError) => void;
  readonly timer: NodeJS.Timeout;
}

export class CurrentPeer implements Dialer {
  #peer: ForwardPeer | undefined;
  readonly #waiting: Set<Waiting> = new Set();
  #isClosed = false;

  get peer(): ForwardPeer | undefined {
    return this.#peer;
  }

  /** Connections that wait for the next link. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Sets the peer of the current link, or undefined while there is no link. */
  set(peer: ForwardPeer | undefined): void {
    this.#peer = peer;
    if (peer === undefined) return;
    for (const one of this.#takeWaiting()) one.resolve(peer);
  }

  /** Fails all present and later waits, because no further link follows. */
  close(): void {
    this.#peer = undefined;
    this.#isClosed = true;
    for (const one of this.#takeWaiting()) one.reject(new SrudpError("ERR_LINK_LOST"));
  }

  async reach(target: Target): Promise<DialResult> {
    return (await this.#await()).reach(target);
  }

  async reachFlow(
    target: Target,
    flow: FlowOptions,
    onOpen: (channel: UdpAssociation) => void,
  ): Promise<SrudpError | undefined> {
    return (await this.#await()).reachFlow(target, flow, onOpen);
  }

  #await(): Promise<ForwardPeer> {
    if (this.#peer !== undefined) return Promise.resolve(this.#peer);
    if (this.#isClosed) return Promise.reject(new SrudpError("ERR_LINK_LOST"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(new SrudpError("ERR_LINK_LOST"));
      }, TIMEOUT_MS);
      const waiting: Waiting = { resolve, reject, timer };
      this.#waiting.add(waiting);
    });
  }

  #takeWaiting(): Waiting[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (const { timer } of all) clearTimeout(timer);
    return all;
  }
}

/**
 * Asks a listening peer for its network's state over the same rendezvous that a link would use, and
 * tries the paths. It makes no link, so the peer's code stays valid.
 */
import { SrudpError } from "../../base/errors.ts";
import { bindListening } from "../../link/bind.ts";
import { faultError } from "../../link/fault.ts";
import type { CommonOptions } from "../../link/link-options.ts";
import type { TraversalOptions } from "../../link/traversal-options.ts";
import { Deadline } from "../../platform/deadline.ts";
import { familyOf, formatAddress } from "../../platform/udp/address.ts";
import type { PunchFailure, WorkingPair } from "../../punch/punch-events.ts";
import type { Signal } from "../../wire/signal.ts";
import { pointsOfCode } from "../signalling/rendezvous-point.ts";
import { type SignallingObserver, SignallingSession } from "../signalling-session.ts";
import { TraversalContext } from "../traversal.ts";
import type { Side } from "./prediction.ts";

export interface TriedPath {
  readonly path: WorkingPair["path"];
  readonly remote: string;
  readonly rttMs: number;
}

export interface PeerProbe {
  /** The peer's own report. */
  readonly peer: Side;
  /** Paths that worked when tried, the best last. */
  readonly paths: readonly TriedPath[];
  /** Why no direct path was found. */
  readonly indirect: PunchFailure | undefined;
}

/** How long paths are tried after the peer's first signal; birthday probing takes a few seconds. */
const TRY_MS = 12_000;
/** How long to wait after the first working path for a better one or a newer signal. */
const LINGER_MS = 1500;

/**
 * @param code of a listening peer
 * @throws SrudpError ERR_CODE_FORMAT, ERR_NO_MEETING_PLACE, ERR_TIMEOUT; the signal's reason
 */
export async function probePeer(
  code: string,
  meet: TraversalOptions,
  common: CommonOptions,
): Promise<PeerProbe> {
  const deadline = new Deadline(common.signal, common.timeoutMs ?? Infinity);
  const endpoint = await bindListening(common);
  const traversal = new TraversalContext(endpoint, meet, common);
  traversal.start();
  const visit = new Visit();
  const session = new SignallingSession({
    traversal,
    side: "initiator",
    channels: traversal.channels,
    watcher: visit,
    isEager: true,
  });
  traversal.onTrouble = () => {
    if (traversal.hasNoWorkingChannel)
      visit.fail(traversal.troubles[0] ?? new SrudpError("ERR_NO_MEETING_PLACE"));
  };
  try {
    endpoint.setListening(true);
    const joined = (async () => {
      const known = new Set<number>();
      const join = async (): Promise<void> => {
        for (const nowMs of traversal.clocks.times) {
          for await (const point of pointsOfCode(code, nowMs, known)) session.join(point);
        }
      };
      traversal.clocks.watch(() => void join());
      await join();
      return await visit.over;
    })();
    return await deadline.limit(joined);
  } finally {
    deadline.end();
    await session.close();
    await traversal.close();
    endpoint.close();
  }
}

/** Observes a signalling session until it has seen enough. */
class Visit implements SignallingObserver {
  readonly over: Promise<PeerProbe>;
  #peer: Side | undefined;
  #indirect: PunchFailure | undefined;
  readonly #paths: TriedPath[] = [];
  #timer: NodeJS.Timeout | undefined;
  #resolve!: (found: PeerProbe) => void;
  #reject!: (error: unknown) => void;

  constructor() {
    this.over = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // An aborted caller has its own error.
    this.over.catch(() => undefined);
  }

  onSignal({ nat, candidates }: Signal): void {
    if (this.#peer === undefined) this.#endIn(TRY_MS);
    this.#peer = { behaviour: nat, candidates };
  }

  onPair(pair: WorkingPair): void {
    this.#keep(pair);
    if (pair.path !== "relay") this.#endIn(LINGER_MS);
  }

  onBest(pair: WorkingPair): void {
    this.#keep(pair);
  }

  onIndirect(reason: PunchFailure): void {
    this.#indirect = reason;
    this.#endIn(this.#paths.length > 0 ? 0 : LINGER_MS);
  }

  isInUse(): boolean {
    return false;
  }

  wantsRelay(): boolean {
    return true;
  }

  onFault(fault: unknown): void {
    this.fail(faultError(fault));
  }

  fail(error: SrudpError): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }

  #keep({ path, address, port, rttMs }: WorkingPair): void {
    const remote = formatAddress({ address, port, family: familyOf(address) });
    const known = this.#paths.findIndex((one) => one.remote === remote && one.path === path);
    if (known >= 0) this.#paths.splice(known, 1);
    this.#paths.push({ path, remote, rttMs });
  }

  #endIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const peer = this.#peer;
      if (peer !== undefined) this.#resolve({ peer, paths: this.#paths, indirect: this.#indirect });
    }, delayMs);
  }
}

/**
 * Serves the links of a listener: the forwards of every peer, and the pipe. The pipe is bridged to
 * standard input and output, for one peer at a time, or to a separate program for each peer.
 */
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";
import { refuseBench, serveBench } from "../app/bench.ts";
import { ForwardPeer } from "../app/forward/forward-peer.ts";
import { answers } from "../app/forward/liveness.ts";
import { RemotePortRegistry } from "../app/forward/remote-port-registry.ts";
import type { ForwardFailure } from "../app/forward/watcher.ts";
import { openInput } from "../app/input.ts";
import { openOutput } from "../app/output.ts";
import { equalBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import type { Link } from "../link/link.ts";
import { onAbort } from "../platform/abort.ts";
import { formatAddress } from "../platform/udp/address.ts";
import type { CommandContext } from "./context.ts";
import type { ControlService } from "./control-service.ts";
import type { LinkOptions } from "./options/common-options.ts";
import type { PeerPermissions } from "./options/peer-permissions.ts";
import { keepPeer, pipeLink, reportConnected, reportOver } from "./pipe-link.ts";
import { failureReport } from "./reports/forward-reports.ts";

/** From this number of links on, all of them are checked for dead peers. */
const CROWD = 128;
/** A peer that does not answer a ping within this time is dead. */
const DEAD_AFTER_MS = 30_000;
/** The same while another peer waits for standard input and output. */
const STDIO_DEAD_AFTER_MS = 5000;

export interface LinkServiceOptions {
  readonly permissions: PeerPermissions;
  readonly controlService: ControlService;
  /** Saves a peer that authenticated by key. */
  readonly remember: (peer: Uint8Array) => Promise<void>;
}

/** The link that uses standard input and output, until `released`. */
interface PipingLink {
  readonly link: Link;
  readonly released: Promise<void>;
}

export class LinkService {
  readonly #context: CommandContext;
  readonly #options: LinkOptions;
  readonly #service: LinkServiceOptions;
  readonly #remotePorts: RemotePortRegistry = new RemotePortRegistry();
  readonly #failed: ReturnType<typeof failureReport>;
  /** Standard input and output, if they serve consecutive peers (-k). */
  readonly #shared: { readonly input: Readable; readonly output: Writable } | undefined;
  /** The link that currently uses standard input and output. */
  #piping: PipingLink | undefined;
  readonly #links: Set<Link> = new Set();

  constructor(context: CommandContext, options: LinkOptions, service: LinkServiceOptions) {
    this.#context = context;
    this.#options = options;
    this.#service = service;
    this.#failed = failureReport(context.reporter);
    const isShared = options.keepOpen && !options.exec;
    this.#shared = isShared
      ? { input: isatty(0) ? openInput(0) : process.stdin, output: openOutput(1) }
      : undefined;
  }

  /** The numbers of entries it holds for links, by name. */
  get counts(): Readonly<Record<string, number>> {
    return {
      served: this.#links.size,
      remotePorts: this.#remotePorts.count,
      piping: Number(this.#piping !== undefined),
    };
  }

  /**
   * Serves a link until it ends. Must be called in the same tick in which the link is announced.
   *
   * @returns the exit status
   * @throws SrudpError for every end except an orderly one; the reason of the interrupt
   */
  async serve(link: Link): Promise<number> {
    try {
      return await this.#serve(link);
    } catch (error) {
      if (!(error instanceof SrudpError) || error.code === "ERR_INTERNAL") link.fail(error);
      throw error;
    }
  }

  async #serve(link: Link): Promise<number> {
    const startedAtMs = performance.now();
    // The link may fail before it is served. `link.errored` is checked then.
    link.on("error", () => undefined);
    reportConnected(this.#context, link);
    const remembered = keepPeer(this.#context, link, this.#options, async () => {
      if (link.auth === "key") await this.#service.remember(link.peer);
    });
    remembered.catch(() => undefined);
    const permission = this.#service.permissions.of(link);
    const failed = (failure: ForwardFailure): void => this.#failed(failure, formatAddress(link.remote));
    const peer = new ForwardPeer(link, {
      permissions: permission.forwards,
      remotePorts: this.#remotePorts,
      watcher: { failed },
    });
    this.#service.controlService.show(peer);
    this.#reapDeadLinks(link);
    this.#links.add(link);
    link.once("close", () => this.#links.delete(link));
    if (permission.bench) serveBench(link);
    else refuseBench(link, (error) => failed({ by: "peer", what: "bench", target: "bench", error }));
    const { signal } = this.#context.interrupt;
    const release = onAbort(signal, () => link.reset());
    try {
      if (await opensPipe(link)) return await this.#runPipe(link, remembered);
    } finally {
      release();
    }
    signal.throwIfAborted();
    await remembered;
    if (link.errored) throw link.errored;
    reportOver(this.#context, link, performance.now() - startedAtMs);
    return 0;
  }

  /**
   * Finds dead peers. With -k a link without a pipe may be silent for days, so the link of a killed
   * peer would stay. On each new link, earlier links of the same peer are pinged. Above a certain
   * number of links, all of them are pinged.
   */
  #reapDeadLinks(newcomer: Link): void {
    const isCrowded = this.#links.size >= CROWD;
    for (const link of this.#links) {
      const isSame = link.auth === "key" && equalBytes(link.peer, newcomer.peer);
      if (!isSame && !isCrowded) continue;
      answers(link, DEAD_AFTER_MS)
        .then((isAlive) => {
          if (!isAlive) link.destroy();
        })
        .catch((fault) => link.fail(fault));
    }
  }

  async #runPipe(link: Link, remembered: Promise<void>): Promise<number> {
    const shared = this.#shared;
    if (shared === undefined) return pipeLink(this.#context, link, this.#options, { remembered });
    // One of several waiting links continues. The others check the condition again.
    while (this.#piping !== undefined) {
      if (await this.#endIfDead(this.#piping)) continue;
      link.reset("ERR_BUSY");
      const remote = formatAddress(link.remote);
      const prose = `${remote} came too, and was told that this side is busy`;
      this.#context.reporter.event("busy", { remote }, prose, "detail");
      return 0;
    }
    let onReleased: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      onReleased = resolve;
    });
    const piping = { link, released };
    this.#piping = piping;
    void released.then(() => {
      if (this.#piping === piping) this.#piping = undefined;
    });
    try {
      return await pipeLink(this.#context, link, this.#options, {
        shared: { ...shared, onReleased },
        remembered,
      });
    } finally {
      onReleased();
    }
  }

  /**
   * Ends the link that uses standard input and output if its peer is dead. With -k the idle timeout
   * is long, so the peer is pinged when another peer needs standard input and output.
   *
   * @returns whether they have been released
   */
  async #endIfDead({ link, released }: PipingLink): Promise<boolean> {
    if (await answers(link, STDIO_DEAD_AFTER_MS)) return false;
    link.destroy(new SrudpError("ERR_LINK_LOST"));
    await released;
    return true;
  }
}

/** Whether the peer opens its pipe. False when the link ends without one. */
function opensPipe(link: Link): Promise<boolean> {
  if (link.hasPipe) return Promise.resolve(true);
  return new Promise((resolve) => {
    link.once("pipe", () => resolve(true));
    link.once("close", () => resolve(false));
    if (link.closed) resolve(false);
  });
}

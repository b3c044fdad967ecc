/**
 * Ports that one side of a link has the other open: those that were asked of the peer, with what they lead to
 * here, and those that the peer asked for, which are open on this machine.
 */
import { isRemoteError, SrudpError } from "../../base/errors.ts";
import {
  type Address,
  type Ask,
  decodeAsk,
  decodeAskAnswer,
  decodeCancel,
  encodeAsk,
  encodeAskAnswer,
  encodeCancel,
  FORWARD_RECORD,
  formatTarget,
} from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import type { AskedPorts } from "./remote-port-registry.ts";
import { type Connections, carry } from "./forward-connection.ts";
import { failureForPeer } from "./dial.ts";
import type { Permissions } from "./permissions/permissions.ts";
import type { Lead } from "./spec.ts";
import { type OpenPort, openStreamPort } from "./stream-port.ts";
import { openUdpPort } from "./udp/udp-port.ts";
import type { Via } from "./dialer.ts";
import type { ForwardWatcher } from "./watcher.ts";

export interface AsksOptions {
  /** The way back to the peer that asked. */
  readonly via: Via;
  readonly connections: Connections;
  readonly permissions: Permissions;
  readonly askedPorts: AskedPorts;
  readonly watcher: ForwardWatcher;
}

interface Question {
  readonly resolve: (port: number) => void;
  readonly reject: (error: Error) => void;
}

/** A port that the peer asked for, from its record until it is closed or refused. */
interface Opening {
  readonly askId: number;
  /** Undefined while it is being opened. */
  port: OpenPort | undefined;
  /** Cancelled, or its link is over: whatever opens is closed again. */
  isCancelled: boolean;
}

/** Ports that one peer may have open here, those that are still being opened included. */
const PORTS_LIMIT = 256;

export class Asks {
  readonly #link: Link;
  readonly #options: AsksOptions;
  #nextId = 0;
  /** What was asked of the peer, and what its connections lead to. */
  readonly #leads: Map<number, Lead> = new Map();
  readonly #questions: Map<number, Question> = new Map();
  /** What the peer asked for and has open, or will have. */
  readonly #openings: Set<Opening> = new Set();
  /** The peer counts what it asks for; no number comes twice. */
  #lastAskId = -1;

  constructor(link: Link, options: AsksOptions) {
    this.#link = link;
    this.#options = options;
    link.on("record", (type, body) => this.#handleRecord(type, body));
    if (link.closed) this.#end();
    else link.once("close", () => this.#end());
  }

  /** Ports of the peer that are open here. */
  get open(): Address[] {
    return [...this.#openings].flatMap(({ port }) => (port === undefined ? [] : [port.address]));
  }

  /** What a connection of ask `askId` leads to. */
  leadOf(askId: number): Lead | undefined {
    return this.#leads.get(askId);
  }

  async ask(bind: Address, lead: Lead): Promise<{ port: number; cancel: () => void }> {
    const askId = this.#nextId++;
    this.#leads.set(askId, lead);
    try {
      const port = await new Promise<number>((resolve, reject) => {
        if (this.#link.destroyed) {
          reject(this.#link.errored ?? new SrudpError("ERR_PEER_RESET"));
          return;
        }
        this.#questions.set(askId, { resolve, reject });
        this.#link.sendRecord(FORWARD_RECORD.ask, encodeAsk({ askId, bind }));
      });
      const cancel = (): void => {
        if (!this.#leads.delete(askId)) return;
        if (!this.#link.destroyed) this.#link.sendRecord(FORWARD_RECORD.cancel, encodeCancel(askId));
      };
      return { port, cancel };
    } catch (error) {
      this.#leads.delete(askId);
      throw error;
    }
  }

  #handleRecord(type: number, body: Uint8Array): void {
    try {
      if (type === FORWARD_RECORD.ask) {
        this.#handleAsk(decodeAsk(body));
      } else if (type === FORWARD_RECORD.answer) {
        const { askId, port, failure } = decodeAskAnswer(body);
        const question = this.#questions.get(askId);
        this.#questions.delete(askId);
        if (failure === undefined) question?.resolve(port);
        else question?.reject(failure);
      } else if (type === FORWARD_RECORD.cancel) this.#close(decodeCancel(body));
    } catch (error) {
      if (!isRemoteError(error)) throw error;
      this.#link.reset(error.code);
    }
  }

  /** @throws SrudpError ERR_PROTOCOL */
  #handleAsk({ askId, bind }: Ask): void {
    if (askId <= this.#lastAskId) throw new SrudpError("ERR_PROTOCOL", "number of an ask used again");
    this.#lastAskId = askId;
    if (this.#openings.size >= PORTS_LIMIT) {
      const error = new SrudpError("ERR_FORWARD_BIND", `${formatTarget(bind)} (too many ports)`);
      this.#refuse(askId, bind, error, error);
      return;
    }
    const opening: Opening = { askId, port: undefined, isCancelled: false };
    this.#openings.add(opening);
    this.#open(opening, bind).catch((fault) => this.#link.fail(fault));
  }

  async #open(opening: Opening, bind: Address): Promise<void> {
    const { permissions, askedPorts } = this.#options;
    const { askId } = opening;
    try {
      if (!permissions.mayListen(bind)) throw new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(bind));
      const port = await askedPorts.take(bind, this.#link, () => this.#listen(askId, bind));
      if (opening.isCancelled) {
        this.#openings.delete(opening);
        askedPorts.release(port);
        return;
      }
      opening.port = port;
      this.#answer(askId, port.address.kind === "unix" ? 0 : port.address.port);
    } catch (thrown) {
      this.#openings.delete(opening);
      if (!(thrown instanceof SrudpError)) throw thrown;
      if (!opening.isCancelled) this.#refuse(askId, bind, thrown, failureForPeer(bind, thrown));
    }
  }

  /** @param said what the peer is told */
  #refuse(askId: number, bind: Address, error: SrudpError, said: SrudpError): void {
    this.#options.watcher.failed({ by: "peer", what: "port", target: formatTarget(bind), error });
    this.#answer(askId, 0, said);
  }

  #answer(askId: number, port: number, failure?: SrudpError): void {
    if (!this.#link.destroyed)
      this.#link.sendRecord(FORWARD_RECORD.answer, encodeAskAnswer({ askId, port, failure }));
  }

  #listen(askId: number, bind: Address): Promise<OpenPort> {
    const { via, connections, watcher } = this.#options;
    const target = { kind: "asked", askId } as const;
    if (bind.kind === "udp") return openUdpPort(bind, target, via, watcher);
    return openStreamPort(bind, (socket) => void carry(socket, target, via, connections, watcher));
  }

  #close(askId: number): void {
    for (const opening of this.#openings) if (opening.askId === askId) this.#cancel(opening);
  }

  #cancel(opening: Opening): void {
    opening.isCancelled = true;
    // One that is still being opened counts as a port until it is closed.
    if (opening.port === undefined) return;
    this.#openings.delete(opening);
    this.#options.askedPorts.release(opening.port);
  }

  #end(): void {
    for (const opening of this.#openings) this.#cancel(opening);
    const error = this.#link.errored ?? new SrudpError("ERR_PEER_RESET");
    for (const { reject } of this.#questions.values()) reject(error);
    this.#questions.clear();
    this.#leads.clear();
  }
}

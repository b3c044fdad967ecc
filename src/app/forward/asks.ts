/**
 * Ports that one side of a link has the other open: those that were asked of the peer, with what they lead to
 * here, and those that the peer asked for, which are open on this machine.
 */
import { isRemoteError, SrudpError } from "../../base/errors.ts";
import {
  type Address,
  decodeAsk,
  decodeAskAnswer,
  decodeCancel,
  encodeAsk,
  encodeAskAnswer,
  encodeCancel,
  FORWARD_RECORD,
  formatTarget,
} from "../../net/forward-wire.ts";
import type { Link } from "../../net/link.ts";
import type { AskedPorts } from "./asked-ports.ts";
import { type Connections, carry } from "./carry.ts";
import type { Permissions } from "./permissions.ts";
import type { Lead } from "./spec.ts";
import { type OpenPort, openStreamPort } from "./stream-port.ts";
import { openUdpPort } from "./udp-port.ts";
import type { Via } from "./via.ts";
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

/** Ports that one peer may have open here. */
const PORTS_LIMIT = 256;

export class Asks {
  readonly #link: Link;
  readonly #options: AsksOptions;
  #nextId = 0;
  /** What was asked of the peer, and what its connections lead to. */
  readonly #leads: Map<number, Lead> = new Map();
  readonly #questions: Map<number, Question> = new Map();
  /** What the peer asked for, by its numbers; undefined while it is being opened. */
  readonly #ports: Map<number, OpenPort | undefined> = new Map();

  constructor(link: Link, options: AsksOptions) {
    this.#link = link;
    this.#options = options;
    link.on("record", (type, body) => this.#handleRecord(type, body));
    link.on("close", () => this.#end());
  }

  /** Ports of the peer that are open here. */
  get open(): Address[] {
    return [...this.#ports.values()].filter((port) => port !== undefined).map(({ address }) => address);
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
        if (this.#link.destroyed) reject(this.#link.errored ?? new SrudpError("ERR_PEER_RESET"));
        this.#questions.set(askId, { resolve, reject });
        this.#link.sendRecord(FORWARD_RECORD.ask, encodeAsk({ askId, bind }));
      });
      const cancel = (): void => {
        this.#leads.delete(askId);
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
        const { askId, bind } = decodeAsk(body);
        this.#open(askId, bind).catch((fault) => this.#link.fail(fault));
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

  async #open(askId: number, bind: Address): Promise<void> {
    const { permissions, askedPorts, watcher } = this.#options;
    if (this.#ports.has(askId) || this.#ports.size >= PORTS_LIMIT) return;
    this.#ports.set(askId, undefined);
    const answer = (port: number, failure?: SrudpError): void => {
      if (!this.#link.destroyed)
        this.#link.sendRecord(FORWARD_RECORD.answer, encodeAskAnswer({ askId, port, failure }));
    };
    try {
      if (!permissions.mayListen(bind)) throw new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(bind));
      const port = await askedPorts.take(bind, this.#link, () => this.#listen(askId, bind));
      // The peer may have gone, or thought better of it, meanwhile.
      if (this.#link.destroyed || !this.#ports.has(askId)) {
        askedPorts.release(port);
        return;
      }
      this.#ports.set(askId, port);
      answer(port.address.kind === "unix" ? 0 : port.address.port);
    } catch (thrown) {
      this.#ports.delete(askId);
      if (!(thrown instanceof SrudpError)) throw thrown;
      watcher.failed({ by: "peer", what: "port", target: formatTarget(bind), error: thrown });
      answer(0, thrown);
    }
  }

  #listen(askId: number, bind: Address): Promise<OpenPort> {
    const { via, connections, watcher } = this.#options;
    const target = { kind: "asked", askId } as const;
    if (bind.kind === "udp") return openUdpPort(bind, target, via, watcher);
    return openStreamPort(bind, (socket) => void carry(socket, target, via, connections, watcher));
  }

  #close(askId: number): void {
    const port = this.#ports.get(askId);
    this.#ports.delete(askId);
    if (port !== undefined) this.#options.askedPorts.release(port);
  }

  #end(): void {
    for (const askId of [...this.#ports.keys()]) this.#close(askId);
    const error = this.#link.errored ?? new SrudpError("ERR_PEER_RESET");
    for (const { reject } of this.#questions.values()) reject(error);
    this.#questions.clear();
  }
}

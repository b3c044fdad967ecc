/** One attempt to get a link: the initiator's connection, from its first message to the link or to why there is none. */

import { SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import { type Connection, type ConnectionEvent, EVENT } from "../engine/connection/connection.ts";
import type { ConnectionHandle, ConnectionOwner } from "./connection-handle.ts";
import type { Endpoint } from "./endpoint.ts";
import { faultError } from "./fault.ts";
import { Link } from "./link.ts";
import { LinkCore } from "./link-core.ts";
import type { CommonOptions, ConnectOptions } from "./link-options.ts";
import { newConnection } from "./new-connection.ts";
import { wireOfCode } from "./stream-adapter.ts";
import { newGate, peerAddressOf, type Trust } from "./trust.ts";

/** How packets travel, and whether the link has a pipe. */
export type AttemptOptions = CommonOptions & Pick<ConnectOptions, "pipe">;

export class Attempt implements ConnectionOwner {
  /** The link, or why there is none. */
  readonly link: Promise<Link>;
  readonly #endpoint: Endpoint;
  readonly #connection: Connection;
  readonly #connectionHandle: ConnectionHandle;
  readonly #hasPipe: boolean;
  /** Told of the link's core as soon as there is one, before anything happens in it. */
  onMade: ((core: LinkCore) => void) | undefined;
  #made: { readonly core: LinkCore; readonly link: Link } | undefined;
  #isSettled = false;
  #verifyFailure: { readonly error: unknown } | undefined;
  #resolve!: (link: Link) => void;
  #reject!: (error: unknown) => void;

  constructor(endpoint: Endpoint, trust: Trust, paths: readonly Path[], options: AttemptOptions) {
    this.link = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#endpoint = endpoint;
    this.#hasPipe = options.pipe ?? true;
    const { connection, connectionHandle } = newConnection(endpoint, this, {
      role: "initiator",
      trust,
      paths,
      common: options,
      onVerifyFailure: (error) => {
        this.#verifyFailure = { error };
      },
    });
    this.#connection = connection;
    this.#connectionHandle = connectionHandle;
    // The peer may be calling us while we call it.
    const gate = newGate(endpoint.now(), trust);
    endpoint.onFirstMessage = (now, from, bytes) => {
      const visitor = gate.examine(bytes);
      if (visitor === undefined) return;
      const admission = gate.admit(now, visitor, peerAddressOf(from), from.port);
      if (admission === "enter") endpoint.deliver(connectionHandle, now, from, bytes);
      else if (admission !== "drop") from.socket.send(admission, from.address, from.port);
    };
  }

  /** What drives the attempt. */
  get parts(): { endpoint: Endpoint; connection: Connection; connectionHandle: ConnectionHandle } {
    return {
      endpoint: this.#endpoint,
      connection: this.#connection,
      connectionHandle: this.#connectionHandle,
    };
  }

  handleEvent(event: ConnectionEvent): void {
    if (event.kind === EVENT.established) this.#make();
    // Together with the first packet may come a CLOSE: what else has arrived is looked at before that counts.
    else if (event.kind === EVENT.confirmed)
      queueMicrotask(this.#connectionHandle.guard(() => this.#succeed()));
    else if (event.kind === EVENT.closed) this.#fail();
    else this.#made?.core.handleEvent(event);
  }

  handleFault(fault: unknown): void {
    this.#settle(() => this.#reject(faultError(fault)));
    this.#connection.close(this.#connectionHandle.now(), wireOfCode("ERR_INTERNAL"), "");
  }

  handleDetached(): void {
    this.#settle(() => this.#reject(new SrudpError("ERR_INTERRUPTED", "The endpoint was closed")));
  }

  /** Ends the attempt; the promise is left to whoever gave up. */
  giveUp(): void {
    this.#isSettled = true;
    this.#connection.close(this.#connectionHandle.now(), wireOfCode("ERR_PEER_RESET"), "");
    this.#connectionHandle.touch();
    this.#connectionHandle.flush();
    this.#endpoint.close();
  }

  #make(): void {
    this.#endpoint.onFirstMessage = undefined;
    const core = new LinkCore(this.#connection, this.#connectionHandle);
    const link = new Link(core);
    this.#made = { core, link };
    this.onMade?.(core);
    core.start(link, this.#hasPipe);
  }

  #succeed(): void {
    const made = this.#made;
    if (made === undefined) return;
    this.#settle(() => {
      this.#connectionHandle.owner = made.core;
      made.core.handOut();
      this.#resolve(made.link);
    });
  }

  #fail(): void {
    const code = this.#connection.closeCause?.code ?? "ERR_PEER_RESET";
    this.#settle(() => {
      if (this.#verifyFailure !== undefined) this.#reject(this.#verifyFailure.error);
      else this.#reject(new SrudpError(code));
    });
  }

  #settle(settle: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    settle();
  }
}

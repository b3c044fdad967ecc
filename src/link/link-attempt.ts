/**
 * One attempt to connect: the initiator's connection, from its first message to the link or the
 * error.
 *
 *     calling ──(established)──▶ established ──(confirmed)──▶ linked
 *        └──────────────────────────┴─────────────────────▶ failed
 */
import { type Deferred, deferred } from "../base/deferred.ts";
import { SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import type { Gate } from "../engine/acceptor/gate.ts";
import { type Connection, type ConnectionEvent, EVENT } from "../engine/connection/connection.ts";
import type { ConnectionHandle, ConnectionOwner } from "./connection-handle.ts";
import type { DatagramOrigin, Endpoint } from "./endpoint.ts";
import { faultError } from "./fault.ts";
import { Link } from "./link.ts";
import { LinkCore } from "./link-core.ts";
import type { CommonOptions, ConnectOptions } from "./link-options.ts";
import { type ConnectionParts, newConnection } from "./new-connection.ts";
import { wireOfCode } from "./stream-adapter.ts";
import { newGate, peerAddressOf, type Trust } from "./trust.ts";

/** Transport options, and whether the link has a pipe. */
export type AttemptOptions = CommonOptions & Pick<ConnectOptions, "pipe">;

/** Receives the core of a new link before any event of the link. */
export type CoreReceiver = (core: LinkCore, connectionHandle: ConnectionHandle) => void;

/** The peer is authenticated. The link waits until the handshake is confirmed. */
interface Established {
  readonly kind: "established";
  readonly core: LinkCore;
  readonly link: Link;
}

type Stage =
  | { readonly kind: "calling" }
  | Established
  | { readonly kind: "linked"; readonly core: LinkCore }
  /** `core` belongs to a link that was established and never handed out. */
  | { readonly kind: "failed"; readonly core: LinkCore | undefined };

interface AttemptParts extends ConnectionParts {
  readonly endpoint: Endpoint;
  readonly options: AttemptOptions;
  /** The exceptions of the caller's `verifyPeer`. */
  readonly verifyFailures: readonly unknown[];
  readonly onCore: CoreReceiver | undefined;
}

export class Attempt implements ConnectionOwner {
  readonly #parts: AttemptParts;
  readonly #connection: Connection;
  readonly #connectionHandle: ConnectionHandle;
  readonly #link: Deferred<Link> = deferred();
  #stage: Stage = { kind: "calling" };
  #refuseCalls: () => void = () => undefined;

  /** Calls the peer on `paths`. */
  static start(
    endpoint: Endpoint,
    trust: Trust,
    paths: readonly Path[],
    options: AttemptOptions,
    onCore?: CoreReceiver,
  ): Attempt {
    const verifyFailures: unknown[] = [];
    const { owner: attempt } = newConnection(
      endpoint,
      (parts) => new Attempt({ ...parts, endpoint, options, verifyFailures, onCore }),
      {
        role: "initiator",
        trust,
        paths,
        common: options,
        onVerifyFailure: (error) => verifyFailures.push(error),
      },
    );
    attempt.#acceptCalls(newGate(endpoint.now(), trust));
    return attempt;
  }

  private constructor(parts: AttemptParts) {
    this.#parts = parts;
    this.#connection = parts.connection;
    this.#connectionHandle = parts.connectionHandle;
  }

  /** The link. Rejects with the error if the attempt fails. */
  get link(): Promise<Link> {
    return this.#link.promise;
  }

  /** The endpoint and the connection of the attempt. */
  get parts(): { endpoint: Endpoint; connection: Connection; connectionHandle: ConnectionHandle } {
    return this.#parts;
  }

  handleEvent(event: ConnectionEvent): void {
    const stage = this.#stage;
    if (stage.kind === "linked") stage.core.handleEvent(event);
    else if (event.kind === EVENT.established) this.#establish();
    // A CLOSE may follow the confirmation in the same datagram. It is handled first and fails the
    // attempt.
    else if (event.kind === EVENT.confirmed) {
      if (stage.kind === "established")
        queueMicrotask(this.#connectionHandle.guard(() => this.#handOut(stage)));
    } else if (event.kind === EVENT.closed) this.#handleClosed();
    else if (stage.kind !== "calling") stage.core?.handleEvent(event);
  }

  handleFault(fault: unknown): void {
    if (this.#stage.kind === "linked") {
      this.#stage.core.handleFault(fault);
      return;
    }
    this.#fail(faultError(fault));
    this.#connection.close(this.#connectionHandle.now(), wireOfCode("ERR_INTERNAL"), "");
  }

  handleDetached(): void {
    if (this.#stage.kind === "linked") this.#stage.core.handleDetached();
    else this.#fail(new SrudpError("ERR_INTERRUPTED", "The endpoint was closed"));
  }

  /** Ends the attempt. Its promise stays pending. */
  giveUp(): void {
    if (this.#stage.kind !== "linked") this.#endStage();
    this.#connection.close(this.#connectionHandle.now(), wireOfCode("ERR_PEER_RESET"), "");
    this.#connectionHandle.touch();
    this.#connectionHandle.flush();
    this.#parts.endpoint.close();
  }

  /** Accepts a call of the peer while this side calls the peer. */
  #acceptCalls(gate: Gate): void {
    const { endpoint } = this.#parts;
    this.#refuseCalls = endpoint.acceptFirstMessages(
      (now: number, from: DatagramOrigin, bytes: Uint8Array) => {
        const caller = gate.examine(bytes);
        if (caller === undefined) return;
        const admission = gate.admit(now, caller, peerAddressOf(from), from.port);
        if (admission === "enter") endpoint.deliver(this.#connectionHandle, now, from, bytes);
        else if (admission !== "drop") from.socket.send(admission, from.address, from.port);
      },
    );
  }

  #establish(): void {
    this.#refuseCalls();
    if (this.#stage.kind !== "calling") return;
    const { options, onCore } = this.#parts;
    const core = new LinkCore(this.#connection, this.#connectionHandle);
    const link = new Link(core);
    this.#stage = { kind: "established", core, link };
    onCore?.(core, this.#connectionHandle);
    core.start(link, options.pipe ?? true);
  }

  #handOut(established: Established): void {
    // The attempt may have failed in the meantime.
    if (this.#stage !== established) return;
    const { core, link } = established;
    this.#stage = { kind: "linked", core };
    core.handOut();
    this.#link.resolve(link);
  }

  #handleClosed(): void {
    const { verifyFailures } = this.#parts;
    const code = this.#connection.closeCause?.code ?? "ERR_PEER_RESET";
    this.#fail(verifyFailures.length > 0 ? verifyFailures.at(-1) : new SrudpError(code));
  }

  #fail(error: unknown): void {
    if (this.#stage.kind === "failed") return;
    this.#endStage();
    this.#link.reject(error);
  }

  #endStage(): void {
    const core = this.#stage.kind === "calling" ? undefined : this.#stage.core;
    this.#stage = { kind: "failed", core };
  }
}

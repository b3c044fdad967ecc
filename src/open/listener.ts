/**
 * A listener waits on a UDP port and creates links for the peers that authenticate.
 *
 * The acceptor (engine/acceptor/acceptor.ts) decides which peers are accepted. The listener creates
 * their connections at the endpoint, sends the acceptor's packets, and performs its events.
 */
import { EventEmitter } from "node:events";
import { SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import { Acceptor, type AcceptorEvent, type HalfOpen, type Incoming } from "../engine/acceptor/acceptor.ts";
import { bindListening } from "../link/bind.ts";
import { checkListenOptions } from "../link/check-options.ts";
import type { ConnectionHandle, ConnectionOwner } from "../link/connection-handle.ts";
import type { DatagramOrigin, Endpoint } from "../link/endpoint.ts";
import { Link } from "../link/link.ts";
import { LinkCore } from "../link/link-core.ts";
import type { ListenOptions } from "../link/link-options.ts";
import { type ConnectionParts, newConnection } from "../link/new-connection.ts";
import { prepareQlogDirectory } from "../link/qlog/qlog-file.ts";
import { wireOfCode } from "../link/stream-adapter.ts";
import { gateConfigOf, guessSourceOf, peerAddressOf, Trust } from "../link/trust.ts";
import { onAbort } from "../platform/abort.ts";
import { LongTimeout } from "../platform/long-timeout.ts";
import { familyOf, type RemoteAddress } from "../platform/udp/address.ts";
import type { ListenerRendezvous } from "../traversal/listener-rendezvous.ts";
import { parseCode } from "../wire/code.ts";
import { LinkQueue } from "./link-queue.ts";

/** Events of a listener. */
export interface ListenerEvents {
  link: [link: Link];
  /**
   * A peer used a wrong code or passphrase. `failures` counts the wrong guesses against the present
   * code.
   */
  guess: [guess: { remote: RemoteAddress; failures: number }];
  /** The code is void after three wrong guesses. `setCode` sets another. */
  burnt: [];
  /** A peer supports only other wire versions. */
  version: [peer: { remote: RemoteAddress; lowest: number; highest: number }];
  /** A peer's key was refused. */
  refused: [peer: { remote: RemoteAddress; key: Uint8Array }];
  /** A peer was rejected because the limit of links is reached. */
  busy: [peer: { remote: RemoteAddress }];
  /** No peer connected within `timeoutMs`. The listener has closed. */
  error: [error: SrudpError];
  close: [];
}

/**
 * Waits for peers. Each link is emitted as an event `link` and as a value of `for await (const link
 * of listener)`. The loop ends when the listener is closed.
 */
export class Listener extends EventEmitter<ListenerEvents> implements AsyncIterable<Link> {
  readonly #endpoint: Endpoint;
  readonly #trust: Trust;
  readonly #options: ListenOptions;
  readonly #acceptor: Acceptor<ConnectionHandle>;
  readonly #queue: LinkQueue = new LinkQueue();
  readonly #rendezvous: ListenerRendezvous | undefined;
  #timer: LongTimeout | undefined;
  #refusePeers: () => void = () => undefined;
  #closed = false;

  private constructor(
    endpoint: Endpoint,
    trust: Trust,
    options: ListenOptions,
    rendezvous?: ListenerRendezvous,
  ) {
    super();
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#options = options;
    this.#rendezvous = rendezvous;
    this.#acceptor = new Acceptor(endpoint.now(), {
      ...gateConfigOf(trust, options.silent),
      credentials: trust.credentials,
      maxLinks: options.maxLinks ?? 1,
    });
  }

  /** Listens at `endpoint`. */
  static start(
    endpoint: Endpoint,
    trust: Trust,
    options: ListenOptions,
    rendezvous?: ListenerRendezvous,
  ): Listener {
    const listener = new Listener(endpoint, trust, options, rendezvous);
    listener.#start(options.timeoutMs ?? Infinity);
    return listener;
  }

  #start(timeoutMs: number): void {
    const endpoint = this.#endpoint;
    this.#refusePeers = endpoint.acceptFirstMessages((nowMs, from, bytes) =>
      this.#handleFirst(nowMs, from, bytes),
    );
    endpoint.setListening(true);
    this.#timer = new LongTimeout(() => {
      void this.close();
      this.emit("error", this.signallingFailure ?? new SrudpError("ERR_TIMEOUT", "No peer connected"));
    }, timeoutMs);
  }

  /** The local addresses, one for each address family. */
  get addresses(): RemoteAddress[] {
    return this.#endpoint.localAddresses;
  }

  get port(): number {
    return this.#endpoint.sockets[0]!.local.port;
  }

  /**
   * The reason why no signalling channel has ever worked. Undefined once one has worked, and
   * without `meet`.
   */
  get signallingFailure(): SrudpError | undefined {
    return this.#rendezvous?.failure;
  }

  /**
   * Numbers of objects held for links and half-open connections, by name. After a link has ended
   * they are the same as before it.
   */
  get counts(): Readonly<Record<string, number>> {
    return {
      ...this.#endpoint.counts,
      ...this.#acceptor.counts,
      ...this.#rendezvous?.counts,
      queuedLinks: this.#queue.length,
    };
  }

  /**
   * Replaces the code and resets the count of wrong guesses; undefined for no code.
   *
   * @throws SrudpError ERR_CODE_FORMAT
   */
  setCode(code: string | undefined): void {
    // An event listener may call this method. The acceptor's events about the former code are
    // handled first.
    this.#drain();
    this.#replaceCode(code);
    this.#acceptor.setCode(this.#trust.credentials.code);
  }

  /** Stops listening. Existing links continue. The port is free when the last of them has ended. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#timer?.stop();
      this.#refusePeers();
      this.#acceptor.close();
      this.#drain();
      this.#rendezvous?.close();
      this.#queue.end();
      this.#endpoint.setListening(false);
      this.emit("close");
    }
    return Promise.resolve();
  }

  /** An exception of an event listener is reported separately and never reaches the caller (`fault.ts`). */
  // biome-ignore lint/suspicious/noExplicitAny: as every EventEmitter has it
  override emit(event: any, ...values: any[]): boolean {
    try {
      return super.emit(event, ...values);
    } catch (thrown) {
      const [link] = values;
      if (link instanceof Link) link.failByListener(thrown);
      else this.#endpoint.failByListener(undefined, thrown);
      return true;
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Link> {
    return this.#queue.iterate();
  }

  #handleFirst(nowMs: number, from: DatagramOrigin, bytes: Uint8Array): void {
    const path = { address: from.address, port: from.port, socket: from.socket.index };
    const origin = { path, address: peerAddressOf(from), guessSource: guessSourceOf(from) };
    const outcome = this.#acceptor.handleFirst(nowMs, origin, bytes);
    this.#drain();
    switch (outcome.kind) {
      case "handled":
        return;
      case "repeated":
        this.#endpoint.deliver(outcome.handle, nowMs, from, bytes);
        return;
      case "incoming":
        this.#endpoint.deliver(this.#accept(outcome.incoming), nowMs, from, bytes);
    }
  }

  /** Creates the connection for a peer that was admitted. */
  #accept(incoming: Incoming): ConnectionHandle {
    const { connectionHandle } = newConnection(this.#endpoint, (parts) => this.#ownerOf(incoming, parts), {
      role: "responder",
      trust: this.#trust,
      paths: [],
      common: this.#options,
    });
    return connectionHandle;
  }

  /** The owner of a connection until its link is established. */
  #ownerOf(
    incoming: Incoming,
    { connection, handshake, connectionHandle }: ConnectionParts,
  ): ConnectionOwner {
    const acceptor = this.#acceptor;
    const halfOpen = acceptor.accept(incoming, connection, handshake, connectionHandle);
    return {
      handleDatagram: (nowMs, path, bytes) => {
        acceptor.handleDatagram(nowMs, halfOpen, path, bytes);
        this.#drain();
      },
      handleEvent: (event) => {
        acceptor.handleEvent(connectionHandle.now(), halfOpen, event);
        this.#drain();
      },
      handleFault: () => connection.close(connectionHandle.now(), wireOfCode("ERR_INTERNAL"), ""),
      handleDetached: () => acceptor.handleDetached(halfOpen),
    };
  }

  /** Sends the acceptor's packets and performs its events. */
  #drain(): void {
    for (;;) {
      const transmit = this.#acceptor.pollTransmit();
      if (transmit === undefined) break;
      const { path, bytes } = transmit;
      this.#endpoint.socketAt(path.socket)?.send(bytes, path.address, path.port);
    }
    for (;;) {
      const event = this.#acceptor.pollEvent();
      if (event === undefined) return;
      this.#handleEvent(event);
    }
  }

  #handleEvent(event: AcceptorEvent<ConnectionHandle>): void {
    switch (event.kind) {
      case "codeRetired":
        this.#replaceCode(undefined);
        return;
      case "ticketSpent":
        this.#trust.spendTicket();
        return;
      case "discard":
        if (event.flush) event.handle.flush();
        event.handle.detach();
        return;
      case "established":
        this.#startLink(event.halfOpen);
        return;
      case "burnt":
        this.emit("burnt");
        return;
      case "guess":
        this.emit("guess", { remote: this.#remoteOf(event.path), failures: event.failures });
        return;
      case "busy":
        this.emit("busy", { remote: this.#remoteOf(event.path) });
        return;
      case "refused":
        this.emit("refused", { remote: this.#remoteOf(event.path), key: event.key });
        return;
      case "version": {
        const { path, lowest, highest } = event;
        this.emit("version", { remote: this.#remoteOf(path), lowest, highest });
      }
    }
  }

  #startLink(halfOpen: HalfOpen<ConnectionHandle>): void {
    const { connection, handle } = halfOpen;
    const core = new LinkCore(connection, handle);
    const acceptor = this.#acceptor;
    core.notifyWhenOver(() => acceptor.handleLinkOver());
    handle.owner = {
      handleEvent: (event) => core.handleEvent(event),
      handleFault: (fault) => core.handleFault(fault),
      handleDetached: () => {
        acceptor.handleDetached(halfOpen);
        core.handleDetached();
      },
    };
    const link = new Link(core);
    this.#rendezvous?.adopt(core, handle);
    core.start(link);
    core.handOut();
    this.#timer?.stop();
    this.#queue.push(link);
    this.emit("link", link);
  }

  /** Replaces the code outside the acceptor. */
  #replaceCode(code: string | undefined): void {
    this.#trust.setCode(code);
    void this.#rendezvous?.setCode(code === undefined ? undefined : parseCode(code));
  }

  #remoteOf({ address, port, socket }: Path): RemoteAddress {
    return { address, port, family: this.#endpoint.socketAt(socket)?.family ?? familyOf(address) };
  }
}

/**
 * Listens on a UDP port, on IPv4 and IPv6 unless the options restrict the family.
 *
 * @throws SrudpError ERR_USAGE without any credential, ERR_BIND, ERR_CODE_FORMAT,
 * ERR_FILE_UNWRITABLE (`qlogDirectory`); the signal's reason
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  checkListenOptions(options);
  options.signal?.throwIfAborted();
  const trust = new Trust(options);
  if (options.qlogDirectory !== undefined) await prepareQlogDirectory(options.qlogDirectory);
  // A listener that peers reach at a known address does not load the traversal modules.
  const subscription = options.meet && (await import("../traversal/listener-rendezvous.ts"));
  const endpoint = await bindListening(options);
  if (options.signal?.aborted) {
    endpoint.close();
    throw options.signal.reason;
  }
  const listener = Listener.start(
    endpoint,
    trust,
    options,
    subscription?.listenerRendezvousOf(endpoint, options),
  );
  listener.once(
    "close",
    onAbort(options.signal, () => void listener.close()),
  );
  return listener;
}

/**
 * A listener: waits on a UDP port and makes links of the peers that prove themselves.
 *
 * Strangers cost little: a first message has to pass the gate, and at most 128 handshakes are under way, of
 * which the oldest goes. Guesses at a code are counted over all of them; how fast anybody may guess is the gate's
 * matter (engine/guess-limits.ts).
 */

import { EventEmitter } from "node:events";
import { toHex } from "../base/bytes.ts";
import { ERRORS, SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import { packetIntegrity } from "../crypto/integrity.ts";
import type { Gate } from "../engine/acceptor/gate.ts";
import { busyNotice } from "../engine/handshake/handshake.ts";
import { bindListening } from "../link/bind.ts";
import { checkListenOptions } from "../link/check-options.ts";
import type { DatagramOrigin, Endpoint } from "../link/endpoint.ts";
import { Link } from "../link/link.ts";
import { LinkCore } from "../link/link-core.ts";
import type { ListenOptions } from "../link/link-options.ts";
import { LinkQueue } from "../link/link-queue.ts";
import { newConnection } from "../link/new-connection.ts";
import { guessSourceOf, peerAddressOf } from "../link/peer-source.ts";
import { prepareQlogDirectory } from "../link/qlog/qlog-file.ts";
import { newGate, Trust } from "../link/trust.ts";
import { onAbort } from "../platform/abort.ts";
import { LongTimeout } from "../platform/long-timeout.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import type { ListenerRendezvous } from "../traversal/listener-rendezvous.ts";
import { parseCode } from "../wire/code.ts";
import { decodeHandshakePacket, encodeNotice, WIRE_VERSION } from "../wire/handshake-packet.ts";
import { HalfOpen, type HalfOpenWatcher } from "./half-open.ts";

/** Events of a listener. */
export interface ListenerEvents {
  link: [link: Link];
  /** A wrong code or passphrase came; `failures` counts those against the present code. */
  guess: [guess: { remote: RemoteAddress; failures: number }];
  /** Three wrong guesses: the code is void. `setCode` brings another. */
  burnt: [];
  /** Somebody came who speaks other versions. */
  version: [visitor: { remote: RemoteAddress; lowest: number; highest: number }];
  /** Somebody came whose key is not welcome. */
  refused: [visitor: { remote: RemoteAddress; key: Uint8Array }];
  /** Somebody came while there was no room for another link. */
  busy: [visitor: { remote: RemoteAddress }];
  /** Nobody came in time (`timeoutMs`): the listener has closed. */
  error: [error: SrudpError];
  close: [];
}

/** Handshakes under way; the oldest goes when one more begins.  // security.md, flooder */
const HALF_OPEN_LIMIT = 128;
/** Wrong guesses that void a code.  // security.md, code */
const GUESSES_LIMIT = 3;

/**
 * Waits for peers. Each becomes an event `link`, and a value of `for await (const link of listener)`, which
 * ends when the listener is closed.
 */
export class Listener extends EventEmitter<ListenerEvents> implements AsyncIterable<Link> {
  readonly #endpoint: Endpoint;
  readonly #door: Door;
  readonly #queue: LinkQueue = new LinkQueue();
  #meetings: ListenerRendezvous | undefined;
  #timer: LongTimeout | undefined;
  #closed = false;

  /** Made by `listen` only. */
  constructor(endpoint: Endpoint, trust: Trust, options: ListenOptions, meetings?: ListenerRendezvous) {
    super();
    this.#endpoint = endpoint;
    this.#door = new Door(this, endpoint, trust, options, (link) => {
      this.#timer?.stop();
      this.#queue.push(link);
      this.emit("link", link);
    });
    this.#meetings = meetings;
    this.#door.meetings = this.#meetings;
    endpoint.onFirstMessage = (now, from, bytes) => this.#door.handleFirst(now, from, bytes);
    endpoint.setListening(true);
    const { timeoutMs = Infinity } = options;
    this.#timer = new LongTimeout(() => {
      void this.close();
      this.emit("error", this.meetingFailure ?? new SrudpError("ERR_TIMEOUT", "No peer connected"));
    }, timeoutMs);
  }

  /** Where it listens: one address for each family. */
  get addresses(): RemoteAddress[] {
    return this.#endpoint.localAddresses;
  }

  get port(): number {
    return this.#endpoint.sockets[0]!.local.port;
  }

  /** Why nothing has ever worked to meet peers by; undefined once something has, and without `meet`. */
  get meetingFailure(): SrudpError | undefined {
    return this.#meetings?.failure;
  }

  /** What it holds for links and for peers on the way in, by name: as much after a link as before. */
  get counts(): Readonly<Record<string, number>> {
    return {
      ...this.#endpoint.counts,
      ...this.#door.counts,
      ...this.#meetings?.counts,
      queuedLinks: this.#queue.length,
    };
  }

  /**
   * The code that counts from now on, with no guesses against it; undefined for none.
   *
   * @throws SrudpError ERR_CODE_FORMAT
   */
  setCode(code: string | undefined): void {
    this.#door.setCode(code);
  }

  /** Stops waiting. Links that are there go on; the port is free when the last of them has ended. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#timer?.stop();
      this.#endpoint.onFirstMessage = undefined;
      this.#door.close();
      this.#meetings?.close();
      this.#queue.end();
      this.#endpoint.setListening(false);
      this.emit("close");
    }
    return Promise.resolve();
  }

  /** A listener that throws does so beside this call, never into it (`fault.ts`). */
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
}

/** Who may come in, and who is on the way in. */
class Door implements HalfOpenWatcher {
  readonly #listener: Listener;
  readonly #endpoint: Endpoint;
  readonly #trust: Trust;
  readonly #gate: Gate;
  readonly #options: ListenOptions;
  readonly #enter: (link: Link) => void;
  meetings: ListenerRendezvous | undefined;
  /** By the peer's connection ID and address, oldest first. Stays while the connection does, for repetitions. */
  readonly #visitors: Map<string, HalfOpen> = new Map();
  /** Those of them whose handshake is under way. */
  readonly #halfOpen: Set<HalfOpen> = new Set();
  #links = 0;
  #failures = 0;

  constructor(
    listener: Listener,
    endpoint: Endpoint,
    trust: Trust,
    options: ListenOptions,
    enter: (link: Link) => void,
  ) {
    this.#listener = listener;
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#gate = newGate(endpoint.now(), trust, options.silent);
    this.#options = options;
    this.#enter = enter;
  }

  get counts(): Readonly<Record<string, number>> {
    return { visitors: this.#visitors.size, halfOpen: this.#halfOpen.size, links: this.#links };
  }

  setCode(code: string | undefined): void {
    this.#trust.setCode(code);
    void this.meetings?.setCode(code === undefined ? undefined : parseCode(code));
    this.#gate.setCredentials(this.#trust.credentials);
    this.#failures = 0;
    for (const halfOpen of this.#halfOpen)
      if (halfOpen.mode === "code" && !halfOpen.hasGuessed) halfOpen.isVoid = true;
  }

  close(): void {
    this.#drop(() => true);
  }

  handleFirst(now: number, from: DatagramOrigin, bytes: Uint8Array): void {
    const visitor = this.#gate.examine(bytes);
    if (visitor === undefined) return;
    const peerId = toHex(visitor.sourceId);
    const address = peerAddressOf(from);
    const key = `${peerId} ${address} ${from.port}`;
    const known = this.#visitors.get(key);
    if (known !== undefined) {
      this.#endpoint.deliver(known.connectionHandle, now, from, bytes);
      return;
    }
    const source = guessSourceOf(from);
    const admission = this.#gate.admit(now, visitor, address, from.port, source);
    if (admission === "drop") return;
    if (admission !== "enter") {
      from.socket.send(admission, from.address, from.port);
      return;
    }
    const remote: RemoteAddress = { address: from.address, port: from.port, family: from.socket.family };
    const { mode } = visitor;
    const isPake = mode === "code" || mode === "passphrase";
    if (isPake && this.#isFull()) {
      // Said before anything is proved: whoever was given a code is to know that it was not wrong.
      if ([...this.#visitors.values()].some((visitor) => visitor.peerId === peerId)) return;
      if (answerBusy(from, bytes)) this.#listener.emit("busy", { remote });
      return;
    }
    if (decodeHandshakePacket(bytes, packetIntegrity) === undefined) return;
    const run = this.#gate.beginRun(now, mode, source);
    if (run === "busy") answerBusy(from, bytes);
    // What has to wait is repeated by the peer.
    if (run === "busy" || run === "wait") return;
    this.#makeRoom();
    const halfOpen = new HalfOpen(this, key, peerId, mode, remote, run);
    const { connection, handshake, connectionHandle } = newConnection(this.#endpoint, halfOpen, {
      role: "responder",
      trust: this.#trust,
      paths: [],
      common: this.#options,
    });
    halfOpen.connection = connection;
    halfOpen.handshake = handshake;
    halfOpen.connectionHandle = connectionHandle;
    this.#visitors.set(key, halfOpen);
    this.#halfOpen.add(halfOpen);
    this.#endpoint.deliver(connectionHandle, now, from, bytes);
    if (handshake.stage === "exchanging") return;
    // Nothing worth keeping state for: another version, a void code, a wrong secret. It may get an answer.
    if (handshake.peerVersions !== undefined)
      this.#listener.emit("version", { remote, ...handshake.peerVersions });
    connectionHandle.flush();
    connectionHandle.detach();
  }

  guessPassed({ run }: HalfOpen): void {
    if (run !== undefined) this.#gate.guesses.endRun(run);
  }

  guessed(halfOpen: HalfOpen, now: number): void {
    const { remote, mode, run } = halfOpen;
    if (run !== undefined) this.#gate.guesses.guessedWrong(now, run);
    const failures = ++this.#failures;
    const isBurnt = mode === "code" && failures >= GUESSES_LIMIT;
    if (isBurnt) this.#burn();
    this.#listener.emit("guess", { remote, failures });
    if (isBurnt) this.#listener.emit("burnt");
  }

  rejected({ run }: HalfOpen, path: Path, bytes: Uint8Array): void {
    const packet = decodeHandshakePacket(bytes, packetIntegrity);
    if (packet === undefined) return;
    const versions = { lowest: WIRE_VERSION, highest: WIRE_VERSION };
    const reason = this.#isFull() || run?.isVoid ? "busy" : "refused";
    const notice = encodeNotice({ reason, destinationId: packet.sourceId, versions }, packetIntegrity);
    this.#endpoint.socketAt(path.socket)?.send(notice, path.address, path.port);
  }

  validated(halfOpen: HalfOpen, now: number): boolean {
    // The same peer may have come by another of its addresses as well: that attempt is over.
    this.#halfOpen.delete(halfOpen);
    this.#drop(({ peerId }) => peerId === halfOpen.peerId);
    if (this.#isFull()) {
      halfOpen.connection.close(now, ERRORS.ERR_BUSY.wire!, "");
      this.#listener.emit("busy", { remote: halfOpen.remote });
      return false;
    }
    if (halfOpen.mode === "code") this.#burn();
    if (halfOpen.mode === "ticket") this.#spendTicket();
    this.#links++;
    return true;
  }

  established(halfOpen: HalfOpen): void {
    const { connection, connectionHandle } = halfOpen;
    const core = new LinkCore(connection, connectionHandle);
    const visitors = this.#visitors;
    core.notifyWhenOver(() => {
      this.#links--;
    });
    connectionHandle.owner = {
      handleEvent: (event) => core.handleEvent(event),
      handleFault: (fault) => core.handleFault(fault),
      handleDetached: () => {
        visitors.delete(halfOpen.key);
        core.handleDetached();
      },
    };
    const link = new Link(core);
    this.meetings?.adopt(core, connectionHandle);
    core.start(link);
    core.handOut();
    this.#enter(link);
  }

  refused(halfOpen: HalfOpen): void {
    this.#halfOpen.delete(halfOpen);
    this.#listener.emit("refused", { remote: halfOpen.remote, key: halfOpen.connection.peer!.peerStatic });
  }

  gone(halfOpen: HalfOpen, hadPlace: boolean): void {
    this.#visitors.delete(halfOpen.key);
    this.#halfOpen.delete(halfOpen);
    if (hadPlace) this.#links--;
    if (halfOpen.run !== undefined) this.#gate.guesses.endRun(halfOpen.run);
  }

  #isFull(): boolean {
    return this.#links >= (this.#options.maxLinks ?? 1);
  }

  /**
   * The code is void, and so is every attempt at it. Those that have guessed already cannot do so again, and
   * stay to hear of it once more should the notice have been lost.
   */
  #burn(): void {
    this.setCode(undefined);
  }

  #spendTicket(): void {
    this.#trust.spendTicket();
    this.#gate.setCredentials(this.#trust.credentials);
    this.#drop(({ mode }) => mode === "ticket");
  }

  #makeRoom(): void {
    if (this.#halfOpen.size < HALF_OPEN_LIMIT) return;
    const [oldest] = this.#halfOpen;
    oldest?.connectionHandle.detach();
  }

  #drop(applies: (halfOpen: HalfOpen) => boolean): void {
    for (const halfOpen of [...this.#halfOpen]) if (applies(halfOpen)) halfOpen.connectionHandle.detach();
  }
}

/** Answers a first message with "busy"; false when it is none. */
function answerBusy({ socket, address, port }: DatagramOrigin, bytes: Uint8Array): boolean {
  const notice = busyNotice(bytes);
  if (notice !== undefined) socket.send(notice, address, port);
  return notice !== undefined;
}

/**
 * Listens on a UDP port, on IPv4 and on IPv6 unless the options say otherwise.
 *
 * @throws SrudpError ERR_USAGE without anything to know peers by, ERR_BIND, ERR_CODE_FORMAT, ERR_FILE_UNWRITABLE
 * (`qlogDirectory`); the signal's reason
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  checkListenOptions(options);
  options.signal?.throwIfAborted();
  const trust = new Trust(options);
  if (options.qlogDirectory !== undefined) await prepareQlogDirectory(options.qlogDirectory);
  // Whoever is called at an address has no need of all that.
  const subscription = options.meet && (await import("../traversal/listener-rendezvous.ts"));
  const endpoint = await bindListening(options);
  if (options.signal?.aborted) {
    endpoint.close();
    throw options.signal.reason;
  }
  const listener = new Listener(
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

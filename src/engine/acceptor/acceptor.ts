/**
 * The acceptor: decides which peers may start a handshake with a listener, and which of them get a
 * link.
 *
 * It follows a connection from its first message until the link is established:
 *
 *     first message --> gate (mac1, cookie, allowance) --> guess limits --> incoming
 *         |                    |                               |               |  the driver makes a connection
 *      repeated             cookie or                        busy           half-open
 *      to its handle        silence                         notice             |  the peer authenticates
 *                                                            busy <--- no slot -+- slot ---> established
 *
 * Pure, after quinn-proto's `endpoint.rs`. Inputs: `handleFirst`, `accept`, `handleDatagram`,
 * `handleEvent`, `handleLinkOver`, `handleDetached`. Commands: `setCode`, `close`. Outputs, to be
 * drained after every input and command: `pollTransmit`, then `pollEvent`. The driver makes the
 * connections, drives them, and calls the inputs before the connection sends anything, so that a
 * peer without a free slot receives nothing but the refusal.
 *
 * The acceptor has no timer. Pauses and allowances are computed from the time of the next input,
 * and a half-open connection has its own timeout (`Connection`, 120 s).
 *
 * Read first: gate.ts, guess-limits.ts.
 */
import { toHex } from "../../base/bytes.ts";
import { ERRORS } from "../../base/errors.ts";
import type { Path } from "../../base/path.ts";
import { packetIntegrity } from "../../crypto/integrity.ts";
import { decodeHandshakePacket, encodeNotice, type Mode, WIRE_VERSION } from "../../wire/handshake-packet.ts";
import { type Connection, type ConnectionEvent, EVENT } from "../connection/connection.ts";
import { busyNotice, type Credentials, type Handshake } from "../handshake/handshake.ts";
import { isPakeMode } from "../handshake/handshake-transcript.ts";
import { Gate, type GateConfig } from "./gate.ts";
import type { GuessRun } from "./guess-limits.ts";

/** Maximum number of handshakes in progress; a new one replaces the oldest. */
export const MAX_HALF_OPEN = 128;
/** Number of wrong guesses that void a code. */
export const MAX_CODE_GUESSES = 3;

export interface AcceptorConfig extends GateConfig {
  /**
   * The credentials that peers may use. The acceptor removes the code and the ticket when they are
   * used up.
   */
  readonly credentials: Credentials;
  /** Maximum number of links at a time; Infinity for no limit. */
  readonly maxLinks: number;
}

/** The source of a first message. */
export interface Origin {
  readonly path: Path;
  /**
   * Identifies the peer's address in cookies and in the table of connections; differs per relay
   * room.
   */
  readonly address: string;
  /** The source that the peer's guesses count against, see `sourceOf`. */
  readonly guessSource: string;
}

/** A first message that was admitted and has no connection yet. */
export interface Incoming {
  /** The peer's connection ID and address. */
  readonly key: string;
  /** The peer's connection ID in hexadecimal. */
  readonly peerId: string;
  /** How the peer authenticates; undefined for a mode that this version does not know. */
  readonly mode: Mode | undefined;
  readonly path: Path;
  /** The peer's run of the PAKE, in a mode with a code or passphrase. */
  readonly run: GuessRun | undefined;
}

/**
 * - `first`: the connection has not handled the first message yet
 * - `handshaking`: counts as half-open
 * - `admitted`: authenticated, and has a slot; the link is not established yet
 * - `turnedAway`: authenticated, but no slot was free, or the key was refused
 * - `linked`: the link is established; `handleLinkOver` releases its slot
 * - `over`: the driver has released the connection, or `discard` requested it
 */
type HalfOpenState = "first" | "handshaking" | "admitted" | "turnedAway" | "linked" | "over";

/**
 * A connection that the acceptor follows. `Handle` identifies the connection for the driver; the
 * acceptor returns it.
 */
export interface HalfOpen<Handle> {
  readonly incoming: Incoming;
  readonly connection: Connection;
  readonly handle: Handle;
}

interface Followed<Handle> extends HalfOpen<Handle> {
  readonly handshake: Handshake;
  state: HalfOpenState;
  hasGuessed: boolean;
  hasPassed: boolean;
  /** Its code was retired before it made a guess: the connection receives no more datagrams. */
  isVoid: boolean;
}

/**
 * The outcome of a first message.
 * - `handled`: drain the outputs; nothing else to do
 * - `repeated`: it belongs to this connection
 * - `incoming`: make a connection, call `accept`, and pass it the message
 */
export type FirstOutcome<Handle> =
  | { readonly kind: "handled" }
  | { readonly kind: "repeated"; readonly handle: Handle }
  | { readonly kind: "incoming"; readonly incoming: Incoming };

/** A packet sent by the acceptor itself: a cookie or a notice. */
export interface AcceptorTransmit {
  readonly path: Path;
  readonly bytes: Uint8Array;
}

export type AcceptorEvent<Handle> =
  /** A wrong code or passphrase. `failures` counts the wrong guesses at the present code. */
  | { readonly kind: "guess"; readonly path: Path; readonly failures: number }
  /** The code is no longer valid: it was used, or guessed wrong too often. */
  | { readonly kind: "codeRetired" }
  /** Three wrong guesses; follows `codeRetired`. */
  | { readonly kind: "burnt" }
  /** The ticket was used for a link. */
  | { readonly kind: "ticketSpent" }
  /** The peer supports other wire versions only. */
  | { readonly kind: "version"; readonly path: Path; readonly lowest: number; readonly highest: number }
  /** The peer's key was refused. */
  | { readonly kind: "refused"; readonly path: Path; readonly key: Uint8Array }
  /** No slot was free for another link. */
  | { readonly kind: "busy"; readonly path: Path }
  /** The link is established, and counts until `handleLinkOver`. */
  | { readonly kind: "established"; readonly halfOpen: HalfOpen<Handle> }
  /** Release this connection. With `flush`, first send its pending packets. */
  | { readonly kind: "discard"; readonly handle: Handle; readonly flush: boolean };

const HANDLED = { kind: "handled" } as const;

export class Acceptor<Handle> {
  private readonly gate: Gate;
  private readonly maxLinks: number;
  private credentials: Credentials;
  /**
   * Connections by `Incoming.key`, oldest first. They stay here for repeated first messages until
   * detached.
   */
  private readonly connections: Map<string, Followed<Handle>> = new Map();
  /** The connections whose handshake is in progress. */
  private readonly halfOpen: Set<Followed<Handle>> = new Set();
  private links = 0;
  /** Wrong guesses since the code was set. */
  private failures = 0;
  private readonly transmits: AcceptorTransmit[] = [];
  private readonly events: AcceptorEvent<Handle>[] = [];

  constructor(nowMs: number, config: AcceptorConfig) {
    this.maxLinks = config.maxLinks;
    this.credentials = config.credentials;
    this.gate = new Gate(nowMs, config);
    this.gate.setCredentials(config.credentials);
  }

  // ------------------------------------------------------------------ getters

  get counts(): { readonly acceptedConnections: number; readonly halfOpen: number; readonly links: number } {
    return { acceptedConnections: this.connections.size, halfOpen: this.halfOpen.size, links: this.links };
  }

  // ------------------------------------------------------------------ inputs

  /**
   * Handles a datagram that addresses no known connection and may be the first message of a
   * handshake.
   */
  handleFirst(nowMs: number, origin: Origin, bytes: Uint8Array): FirstOutcome<Handle> {
    const hello = this.gate.examine(bytes);
    if (hello === undefined) return HANDLED;
    const { path, address, guessSource } = origin;
    const peerId = toHex(hello.sourceId);
    const key = `${peerId} ${address} ${path.port}`;
    const known = this.connections.get(key);
    if (known !== undefined) return { kind: "repeated", handle: known.handle };
    const admission = this.gate.admit(nowMs, hello, address, path.port, guessSource);
    if (admission === "drop") return HANDLED;
    if (admission !== "enter") {
      this.transmits.push({ path, bytes: admission });
      return HANDLED;
    }
    const { mode } = hello;
    if (mode !== undefined && isPakeMode(mode) && this.isFull) {
      // Sent before the peer has authenticated, so that a peer with the right code does not mistake
      // it for a wrong code.
      if (!this.knowsPeer(peerId) && this.answerBusy(path, bytes)) this.events.push({ kind: "busy", path });
      return HANDLED;
    }
    if (decodeHandshakePacket(bytes, packetIntegrity) === undefined) return HANDLED;
    const run = this.gate.beginRun(nowMs, mode, guessSource);
    if (run === "busy") this.answerBusy(path, bytes);
    // The peer will repeat the message.
    if (run === "busy" || run === "wait") return HANDLED;
    return { kind: "incoming", incoming: { key, peerId, mode, path, run } };
  }

  /**
   * Follows the connection that was made for `incoming`. The connection handles the first message
   * next.
   */
  accept(incoming: Incoming, connection: Connection, handshake: Handshake, handle: Handle): HalfOpen<Handle> {
    if (this.halfOpen.size >= MAX_HALF_OPEN) {
      const [oldest] = this.halfOpen;
      if (oldest !== undefined) this.discard(oldest);
    }
    const flags = { hasGuessed: false, hasPassed: false, isVoid: false };
    const accepted: Followed<Handle> = { incoming, connection, handshake, handle, state: "first", ...flags };
    this.connections.set(incoming.key, accepted);
    this.halfOpen.add(accepted);
    return accepted;
  }

  /**
   * Passes a datagram to a half-open connection. Guesses are counted and limits applied before the
   * next datagram. Every datagram passes here, because a handshake packet may follow another packet
   * in one datagram.
   */
  handleDatagram(nowMs: number, halfOpen: HalfOpen<Handle>, path: Path, bytes: Uint8Array): void {
    const followed = halfOpen as Followed<Handle>;
    const { connection, handshake, incoming } = followed;
    if (followed.isVoid || incoming.run?.isVoid) {
      this.reject(followed, path, bytes);
      return;
    }
    const isFirst = followed.state === "first";
    if (isFirst) followed.state = "handshaking";
    connection.handleDatagram(nowMs, path, bytes);
    if (handshake.guessFailed && !followed.hasGuessed) {
      followed.hasGuessed = true;
      this.handleWrongGuess(nowMs, incoming);
    }
    if (handshake.guessPassed && !followed.hasPassed) {
      followed.hasPassed = true;
      if (incoming.run !== undefined) this.gate.guesses.endRun(incoming.run);
    }
    // Checked before anything is sent, so that a peer without a free slot receives nothing but the
    // refusal.
    if (connection.state === "established") this.admit(nowMs, followed);
    if (isFirst && handshake.stage !== "exchanging") this.endAfterFirst(followed);
  }

  /** Handles an event of a connection that is not established yet. */
  handleEvent(nowMs: number, halfOpen: HalfOpen<Handle>, event: ConnectionEvent): void {
    const followed = halfOpen as Followed<Handle>;
    const { connection, incoming } = followed;
    if (event.kind === EVENT.established) {
      this.admit(nowMs, followed);
      if (followed.state !== "admitted") return;
      followed.state = "linked";
      this.events.push({ kind: "established", halfOpen });
    } else if (event.kind === EVENT.closed && connection.closeCause?.code === "ERR_KEY_REFUSED") {
      this.halfOpen.delete(followed);
      followed.state = "turnedAway";
      const key = connection.peer?.peerStatic;
      if (key !== undefined) this.events.push({ kind: "refused", path: incoming.path, key });
    }
  }

  /** The link of this connection has ended. Called once for each `established`. */
  handleLinkOver(): void {
    this.links--;
  }

  /** The driver has released the connection. */
  handleDetached(halfOpen: HalfOpen<Handle>): void {
    const followed = halfOpen as Followed<Handle>;
    const { state, incoming } = followed;
    if (state === "over") return;
    followed.state = "over";
    this.connections.delete(incoming.key);
    this.halfOpen.delete(followed);
    if (state === "linked") return;
    if (state === "admitted") this.links--;
    if (incoming.run !== undefined) this.gate.guesses.endRun(incoming.run);
  }

  // ------------------------------------------------------------------ commands

  /**
   * Replaces the code and resets its guess count; undefined for no code. Attempts at the former
   * code become void. Attempts that have already guessed cannot guess again, but still repeat their
   * refusal if it gets lost.
   *
   * @param code in normal form, UTF-8
   */
  setCode(code: Uint8Array | undefined): void {
    const { code: _former, ...others } = this.credentials;
    this.credentials = code === undefined ? others : { ...others, code };
    this.gate.setCredentials(this.credentials);
    this.failures = 0;
    for (const followed of this.halfOpen)
      if (followed.incoming.mode === "code" && !followed.hasGuessed) followed.isVoid = true;
  }

  /** Discards the handshakes in progress; established links continue. */
  close(): void {
    this.discardAll(() => true);
  }

  // ------------------------------------------------------------------ outputs

  /** The next cookie or notice to send; undefined if there is none. */
  pollTransmit(): AcceptorTransmit | undefined {
    return this.transmits.shift();
  }

  /** The next event; undefined if there is none. */
  pollEvent(): AcceptorEvent<Handle> | undefined {
    return this.events.shift();
  }

  // ------------------------------------------------------------------ admission

  private get isFull(): boolean {
    return this.links >= this.maxLinks;
  }

  private knowsPeer(peerId: string): boolean {
    for (const { incoming } of this.connections.values()) if (incoming.peerId === peerId) return true;
    return false;
  }

  /**
   * Assigns a slot to an authenticated peer, once. Uses up the code or ticket that the peer
   * authenticated with.
   */
  private admit(nowMs: number, followed: Followed<Handle>): void {
    const { incoming, connection } = followed;
    if (followed.state !== "handshaking") return;
    this.halfOpen.delete(followed);
    // The peer may also have an attempt from another of its addresses; that attempt ends.
    this.discardAll(({ incoming: { peerId } }) => peerId === incoming.peerId);
    if (this.isFull) {
      followed.state = "turnedAway";
      connection.close(nowMs, ERRORS.ERR_BUSY.wire!, "");
      this.events.push({ kind: "busy", path: incoming.path });
      return;
    }
    followed.state = "admitted";
    this.links++;
    if (incoming.mode === "code") this.retireCode();
    if (incoming.mode === "ticket") this.spendTicket();
  }

  private handleWrongGuess(nowMs: number, { run, mode, path }: Incoming): void {
    if (run !== undefined) this.gate.guesses.recordWrongGuess(nowMs, run);
    const failures = ++this.failures;
    const isBurnt = mode === "code" && failures >= MAX_CODE_GUESSES;
    if (isBurnt) this.retireCode();
    this.events.push({ kind: "guess", path, failures });
    if (isBurnt) this.events.push({ kind: "burnt" });
  }

  private retireCode(): void {
    this.setCode(undefined);
    this.events.push({ kind: "codeRetired" });
  }

  private spendTicket(): void {
    const { ticket: _spent, ...others } = this.credentials;
    this.credentials = others;
    this.gate.setCredentials(others);
    this.events.push({ kind: "ticketSpent" });
    this.discardAll(({ incoming }) => incoming.mode === "ticket");
  }

  // ------------------------------------------------------------------ refusals

  /** Answers a first message with "busy"; false if the datagram is not one. */
  private answerBusy(path: Path, bytes: Uint8Array): boolean {
    const notice = busyNotice(bytes);
    if (notice !== undefined) this.transmits.push({ path, bytes: notice });
    return notice !== undefined;
  }

  /** Answers a datagram of a void attempt. */
  private reject({ incoming }: Followed<Handle>, path: Path, bytes: Uint8Array): void {
    const packet = decodeHandshakePacket(bytes, packetIntegrity);
    if (packet === undefined) return;
    const reason = this.isFull || incoming.run?.isVoid ? "busy" : "refused";
    const versions = { lowest: WIRE_VERSION, highest: WIRE_VERSION };
    const notice = encodeNotice({ reason, destinationId: packet.sourceId, versions }, packetIntegrity);
    this.transmits.push({ path, bytes: notice });
  }

  /**
   * The first message did not lead to a link: another version, a void code, or a wrong secret. The
   * peer may get an answer, but no state is kept for it.
   */
  private endAfterFirst(followed: Followed<Handle>): void {
    const { handshake, incoming } = followed;
    const versions = handshake.peerVersions;
    if (versions !== undefined) this.events.push({ kind: "version", path: incoming.path, ...versions });
    this.discard(followed, true);
  }

  private discardAll(applies: (followed: Followed<Handle>) => boolean): void {
    for (const followed of [...this.halfOpen]) if (applies(followed)) this.discard(followed);
  }

  private discard(followed: Followed<Handle>, flush = false): void {
    this.handleDetached(followed);
    this.events.push({ kind: "discard", handle: followed.handle, flush });
  }
}

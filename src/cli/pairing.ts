/**
 * Pairing (`--save NAME`). Both sides save each other's key and need no code afterwards.
 *
 * Three control records, each sent by both sides:
 *
 *     paired    at once: "I save you if you save me, and my key will stay the same"
 *     ready     once both sides want it: "my list of peers is writable"
 *     saved     once both sides are ready: whether this side has saved the peer
 *
 * A side that cannot write reports that before either side has saved anything. No exchange can make
 * the last step safe against a lost link. A side that has saved therefore marks the peer as
 * unconfirmed until the peer reports that it saved too. The exchange is repeated on later links: on
 * every link of a process with --save, and without it on links that are authenticated by key.
 */
import { SrudpError } from "../base/errors.ts";
import type { Link } from "../link/link.ts";
import type { KeyStore } from "../store/key-store.ts";
import { isPeerName, type SavedPeer } from "../store/saved-peers.ts";
import { encodeKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError } from "./exit.ts";
import { usage } from "./options/operands.ts";
import { escapeText } from "./terminal/escape.ts";
import type { Reporter } from "./terminal/reporter.ts";

/** Types of control records. The first two have an empty body, `saved` has one byte. */
export const PAIRING_RECORD = { paired: 16, ready: 17, saved: 18 } as const;

const SAVED: Uint8Array = Uint8Array.of(0);
const NOT_SAVED: Uint8Array = Uint8Array.of(1);
/** How long the exchange delays the end of a link. A slow disk needs a fraction of a second. */
const EXCHANGE_MS = 5000;

/** The part of a link that pairing uses. */
export type PairingLink = Pick<Link, "peer" | "auth" | "on" | "once" | "sendRecord" | "deferClose">;

/**
 * Refuses a name that cannot be saved, before anything is sent.
 *
 * @throws SrudpError ERR_USAGE, ERR_NAME_TAKEN
 */
export async function checkNewName(store: KeyStore, name: string): Promise<void> {
  if (!isPeerName(name)) {
    throw usage(
      `"${escapeText(name)}" cannot be a peer's name: a letter, then letters, digits, ".", "_", "-"`,
    );
  }
  const saved = await store.savedPeers.find(name);
  if (saved !== undefined && !saved.isUnconfirmed) throw new SrudpError("ERR_NAME_TAKEN", name);
}

export interface PairingOptions {
  /** The name for the peer (`--save`). Without it, only an incomplete exchange is repeated. */
  readonly name?: string | undefined;
  /** The address of the peer as it was typed. */
  readonly address?: string | undefined;
}

/**
 * Takes part in pairing on this link. Must be called in the same tick in which the link is announced.
 *
 * @returns settles when the exchange has ended, successfully or not, or the link has ended
 * @throws SrudpError ERR_NAME_TAKEN, ERR_KEY_FILE when the peer cannot be saved here; then neither side has saved
 */
export function pair(
  { reporter }: Pick<CommandContext, "reporter">,
  store: KeyStore,
  link: PairingLink,
  options: PairingOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    new Pairing(reporter, store, link, options, resolve, reject).start();
  });
}

class Pairing {
  readonly #reporter: Reporter;
  readonly #store: KeyStore;
  readonly #link: PairingLink;
  readonly #settle: () => void;
  readonly #fail: (error: unknown) => void;
  /** The entry to save, once this side takes part. */
  #entry: SavedPeer | undefined;
  readonly #isRequested: boolean;
  /** This side has sent `paired`. */
  #isBegun = false;
  #isPeerWilling = false;
  #isReady = false;
  #isPeerReady = false;
  #isSaved = false;
  /** The peer was saved and confirmed before. */
  #wasConfirmed = false;
  #isPeerSaved = false;
  #isOver = false;
  #allowClose: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    reporter: Reporter,
    store: KeyStore,
    link: PairingLink,
    { name, address }: PairingOptions,
    settle: () => void,
    fail: (error: unknown) => void,
  ) {
    this.#reporter = reporter;
    this.#store = store;
    this.#link = link;
    this.#isRequested = name !== undefined;
    if (name !== undefined) this.#entry = { name, publicKey: link.peer, address };
    this.#settle = settle;
    this.#fail = fail;
  }

  start(): void {
    this.#link.on("record", (type, body) => this.#handleRecord(type, body));
    this.#link.once("close", () => this.#handleClose());
    // Without --save the caller does not wait for the exchange.
    if (!this.#isRequested) this.#settle();
    // Called synchronously, so that the record is sent before anything can end the link.
    if (this.#isRequested && this.#link.auth !== "key") this.#run(() => this.#begin());
    else if (this.#link.auth === "key") this.#run(() => this.#lookUp());
    else this.#over();
  }

  #handleRecord(type: number, body: Uint8Array): void {
    if (this.#isOver) return;
    if (type === PAIRING_RECORD.paired && !this.#isPeerWilling) {
      this.#isPeerWilling = true;
      this.#run(() => (this.#isBegun ? this.#prepare() : this.#join()));
    } else if (type === PAIRING_RECORD.ready && !this.#isPeerReady) {
      this.#isPeerReady = true;
      this.#run(() => this.#save());
    } else if (type === PAIRING_RECORD.saved && this.#isPeerWilling) {
      if (body[0] !== 0) this.#giveUp("the other side could not save this side's key");
      else {
        this.#isPeerSaved = true;
        this.#run(() => this.#confirm());
      }
    }
  }

  /** Looks up whether the peer is already saved. Then only an incomplete exchange is repeated. */
  async #lookUp(): Promise<void> {
    const release = this.#link.deferClose();
    try {
      const saved = await this.#store.savedPeers.findByKey(this.#link.peer);
      if (this.#isOver || this.#isBegun) return;
      if (saved !== undefined) this.#entry = saved;
      if (this.#entry === undefined || (saved !== undefined && !saved.isUnconfirmed)) this.#settle();
      else await this.#begin();
    } finally {
      release();
    }
  }

  async #begin(): Promise<void> {
    if (!this.#isBegun) this.#send(PAIRING_RECORD.paired);
    this.#isBegun = true;
    if (this.#isPeerWilling) await this.#prepare();
  }

  /** Joins when the peer repeats an exchange that is complete on this side. */
  async #join(): Promise<void> {
    const saved = await this.#store.savedPeers.findByKey(this.#link.peer);
    if (this.#isOver || this.#isBegun || saved === undefined) return;
    this.#entry = saved;
    await this.#begin();
  }

  async #prepare(): Promise<void> {
    this.#allowClose = this.#link.deferClose();
    this.#timer = setTimeout(() => this.#allowClose?.(), EXCHANGE_MS);
    try {
      await this.#store.savedPeers.rehearse({ ...this.#entry!, isUnconfirmed: true });
    } catch (error) {
      this.#send(PAIRING_RECORD.saved, NOT_SAVED);
      throw error;
    }
    if (this.#isOver) return;
    this.#isReady = true;
    this.#send(PAIRING_RECORD.ready);
    await this.#save();
  }

  async #save(): Promise<void> {
    if (!this.#isReady || !this.#isPeerReady || this.#isOver) return;
    try {
      await this.#keep(true);
    } catch (error) {
      this.#send(PAIRING_RECORD.saved, NOT_SAVED);
      this.#giveUp(`it could not be written (${escapeText(asSrudpError(error).detail)})`);
      return;
    }
    this.#isSaved = true;
    this.#send(PAIRING_RECORD.saved, SAVED);
    await this.#confirm();
  }

  async #confirm(): Promise<void> {
    if (!this.#isSaved || !this.#isPeerSaved || this.#isOver) return;
    try {
      await this.#keep(false);
    } catch (error) {
      this.#giveUp(`it could not be written (${escapeText(asSrudpError(error).detail)})`);
      return;
    }
    if (this.#wasConfirmed) {
      this.#over();
      return;
    }
    const { name, publicKey, address } = this.#entry!;
    const fields = { name, peer: encodeKey(publicKey), address };
    this.#reporter.event("paired", fields, `paired with ${name}: from now on no code is needed`);
    this.#over();
  }

  /** Saves the entry. A peer that is saved and confirmed stays confirmed. */
  async #keep(isUnconfirmed: boolean): Promise<void> {
    const { savedPeers } = this.#store;
    const { name, publicKey } = this.#entry!;
    if (isUnconfirmed) {
      const saved = await savedPeers.findByKey(publicKey);
      this.#wasConfirmed = saved?.name === name && !saved.isUnconfirmed;
      if (this.#wasConfirmed) return;
    }
    const { isUnconfirmed: _, ...entry } = this.#entry!;
    await savedPeers.add(isUnconfirmed ? { ...entry, isUnconfirmed } : entry);
  }

  #handleClose(): void {
    // The peer has saved, so this side completes without the link.
    if (this.#isOver || (this.#isReady && this.#isPeerSaved)) return;
    if (!this.#isBegun) this.#over();
    else if (!this.#isPeerWilling)
      this.#giveUp("the other side has to give --save and a name as well", this.#isRequested);
    else this.#giveUp("the link ended before both sides had saved");
  }

  /** @param isNews whether the user requested the pairing; otherwise the event is a detail */
  #giveUp(reason: string, isNews = true): void {
    if (this.#isOver) return;
    if (this.#entry === undefined) {
      this.#over();
      return;
    }
    const { name, publicKey } = this.#entry;
    const outcome = this.#isSaved ? "was saved, but not confirmed" : "was not saved";
    const outlook = this.#isPeerWilling ? "; it is tried again on the next link" : "";
    const fields = { name, peer: encodeKey(publicKey), reason, isSaved: this.#isSaved };
    const prose = `${name} ${outcome}: ${reason}${outlook}`;
    this.#reporter.event("unpaired", fields, prose, isNews ? "normal" : "detail");
    this.#over();
  }

  #send(type: number, body: Uint8Array = new Uint8Array(0)): void {
    if (!this.#isOver) this.#link.sendRecord(type, body);
  }

  /** Runs a step. Errors of the local files end the exchange. */
  #run(step: () => Promise<void>): void {
    step().catch((error: unknown) => {
      if (this.#isOver) return;
      if (!this.#isRequested) this.#giveUp(escapeText(asSrudpError(error).detail), false);
      this.#fail(error);
      this.#over();
    });
  }

  #over(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#allowClose?.();
    this.#settle();
  }
}

/**
 * Peers that were paired: each side knows the other's key for good, under a name of its own choice.
 *
 *     peers    "name srudp1… [host:port] [unconfirmed]" a line; the address is where it was reached last, a hint;
 *              unconfirmed: the peer has not said that it saved this side too
 *
 * In the configuration folder, mode 0600. A saved peer may connect, and is connected to by name; another key
 * at its address is fatal.
 */
import { join } from "node:path";
import { equalBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import {
  changePrivateFile,
  ensurePrivateFolder,
  readPrivateFile,
  rehearsePrivateFile,
} from "../platform/private-file.ts";
import { encodeKey } from "../wire/key-text.ts";
import { keyOfLine, meaningfulLines, refusedLine } from "./key-lines.ts";

export interface SavedPeer {
  readonly name: string;
  readonly publicKey: Uint8Array;
  /** `host:port`; undefined for one that was met at a meeting place. */
  readonly address: string | undefined;
  /** Until the peer has said that it saved this side too; its name may be given to another key. */
  readonly isUnconfirmed?: boolean;
}

const UNCONFIRMED = "unconfirmed";

/** Peers that are kept; a list that is read at each start has an end. */
const PEERS_LIMIT = 4096;

/** A letter first: no name is taken for a code, a port or an option, and none for a key or a ticket. */
const NAME = /^(?!srudp[a-z]?1)[a-z][a-z0-9._-]{0,62}$/i;

/** Whether a peer may have this name. */
export function isPeerName(text: string): boolean {
  return NAME.test(text);
}

/** Every method throws ERR_KEY_FILE for a file that cannot be trusted or read. */
export class SavedPeers {
  readonly #folder: string;

  /** @param folder absolute path; it is made when something is to be written */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(): Promise<SavedPeer[]> {
    const text = await readPrivateFile(this.#path);
    if (text === undefined) return [];
    await ensurePrivateFolder(this.#folder);
    return this.#parse(text);
  }

  /** The peer of this name, in any case. */
  async find(name: string): Promise<SavedPeer | undefined> {
    return (await this.list()).find((peer) => isSameName(peer.name, name));
  }

  /** The peer with this key. */
  async findByKey(publicKey: Uint8Array): Promise<SavedPeer | undefined> {
    return (await this.list()).find((peer) => equalBytes(peer.publicKey, publicKey));
  }

  /**
   * Whether `add` would keep the peer: does all of it but the last step.
   *
   * @throws SrudpError as `add`
   */
  async rehearse(peer: SavedPeer): Promise<void> {
    await ensurePrivateFolder(this.#folder);
    await rehearsePrivateFile(this.#path, (text) => this.#withPeer(peer, text));
  }

  /**
   * Keeps a peer. A name that stands for another key already is never given away.
   *
   * @throws SrudpError ERR_NAME_TAKEN, ERR_USAGE for a name that cannot be one
   */
  async add(peer: SavedPeer): Promise<void> {
    if (!isPeerName(peer.name)) throw new SrudpError("ERR_USAGE", "That cannot be a peer's name");
    if (peer.address !== undefined && /\s/.test(peer.address))
      throw new SrudpError("ERR_INTERNAL", "A blank");
    await ensurePrivateFolder(this.#folder);
    await changePrivateFile(this.#path, (text) => this.#withPeer(peer, text));
  }

  /** The text of the file with a line for `peer`. @throws SrudpError ERR_NAME_TAKEN, ERR_KEY_FILE */
  #withPeer(peer: SavedPeer, text = ""): string {
    const peers = this.#parse(text);
    const same = peers.find(({ name }) => isSameName(name, peer.name));
    if (same !== undefined && !same.isUnconfirmed && !equalBytes(same.publicKey, peer.publicKey)) {
      throw new SrudpError("ERR_NAME_TAKEN", peer.name);
    }
    if (peers.length >= PEERS_LIMIT) throw new SrudpError("ERR_KEY_FILE", "There are too many saved peers");
    const kept = withoutLines(text, (line) => isSameName(line.split(/[ \t]/)[0]!, peer.name));
    const words = [peer.name, encodeKey(peer.publicKey), ...(peer.address ? [peer.address] : [])];
    if (peer.isUnconfirmed) words.push(UNCONFIRMED);
    return `${kept}${words.join(" ")}\n`;
  }

  get #path(): string {
    return join(this.#folder, "peers");
  }

  #parse(text: string): SavedPeer[] {
    const peers: SavedPeer[] = [];
    for (const [number, line] of meaningfulLines(text)) {
      const words = line.split(/[ \t]+/);
      const isUnconfirmed = words.length > 2 && words.at(-1) === UNCONFIRMED;
      const [name, key, address, ...rest] = isUnconfirmed ? words.slice(0, -1) : words;
      const publicKey = keyOfLine(this.#path, number, rest.length === 0 ? key : undefined);
      if (!isPeerName(name!)) throw refusedLine(this.#path, number, "cannot be read");
      if (address !== undefined && !/^\S+:\d{1,5}$/.test(address))
        throw refusedLine(this.#path, number, "has something else than host:port behind the key");
      // The first one would be found, whichever was meant.
      if (peers.some((peer) => isSameName(peer.name, name!)))
        throw refusedLine(this.#path, number, "has a name that stands above already");
      peers.push({ name: name!, publicKey, address, ...(isUnconfirmed && { isUnconfirmed }) });
    }
    return peers;
  }
}

/** The lines of a file that `applies` is not true of, comments kept, each with its end. */
export function withoutLines(text: string, applies: (line: string) => boolean): string {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const kept = lines.filter((line) => {
    const trimmed = line.trim();
    return trimmed === "" || trimmed.startsWith("#") || !applies(trimmed);
  });
  return kept.map((line) => `${line}\n`).join("");
}

function isSameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

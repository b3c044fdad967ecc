/**
 * Paired peers. Each side has permanently saved the other's key under a local name.
 *
 *     peers    "name srudp1… [host:port] [unconfirmed]" a line; the address is a hint, where the peer was last reached;
 *              unconfirmed: the peer has not reported yet that it saved this side too
 *
 * The file is in the configuration folder, with mode 0600. A saved peer may connect, and can be
 * connected to by name. If another key appears at its address, the connection fails.
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
  /** `host:port`; undefined if the peer was found at a rendezvous point. */
  readonly address: string | undefined;
  /**
   * True until the peer has reported that it saved this side too. Until then its name may be given
   * to another key.
   */
  readonly isUnconfirmed?: boolean;
}

const UNCONFIRMED = "unconfirmed";

/** Maximum number of peers. The limit bounds the list, which is read at each start. */
const PEERS_LIMIT = 4096;

/**
 * A name begins with a letter, so that it is not mistaken for a code, a port or an option. It must
 * not look like a key or a ticket.
 */
const NAME = /^(?!srudp[a-z]?1)[a-z][a-z0-9._-]{0,62}$/i;

/** Whether `text` is a valid name of a peer. */
export function isPeerName(text: string): boolean {
  return NAME.test(text);
}

/** Every method throws ERR_KEY_FILE for a file that cannot be trusted or read. */
export class SavedPeers {
  readonly #folder: string;

  /** @param folder absolute path; created on the first write */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(): Promise<SavedPeer[]> {
    const text = await readPrivateFile(this.#path);
    if (text === undefined) return [];
    await ensurePrivateFolder(this.#folder);
    return this.#parse(text);
  }

  /** The peer of this name, ignoring case. */
  async find(name: string): Promise<SavedPeer | undefined> {
    return (await this.list()).find((peer) => isSameName(peer.name, name));
  }

  /** The peer with this key. */
  async findByKey(publicKey: Uint8Array): Promise<SavedPeer | undefined> {
    return (await this.list()).find((peer) => equalBytes(peer.publicKey, publicKey));
  }

  /**
   * Checks whether `add` would succeed. Does everything except the last step.
   *
   * @throws SrudpError like `add`
   */
  async rehearse(peer: SavedPeer): Promise<void> {
    await ensurePrivateFolder(this.#folder);
    await rehearsePrivateFile(this.#path, (text) => this.#withPeer(peer, text));
  }

  /**
   * Saves a peer. A name that belongs to another key is never reassigned.
   *
   * @throws SrudpError ERR_NAME_TAKEN, ERR_USAGE for an invalid name
   */
  async add(peer: SavedPeer): Promise<void> {
    if (!isPeerName(peer.name)) throw new SrudpError("ERR_USAGE", "That cannot be a peer's name");
    if (peer.address !== undefined && /\s/.test(peer.address))
      throw new SrudpError("ERR_INTERNAL", "A blank");
    await ensurePrivateFolder(this.#folder);
    await changePrivateFile(this.#path, (text) => this.#withPeer(peer, text));
  }

  /**
   * The contents of the file with a line for `peer`. @throws SrudpError ERR_NAME_TAKEN,
   * ERR_KEY_FILE
   */
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
      // A duplicate name is an error, because a look-up would always return the first one.
      if (peers.some((peer) => isSameName(peer.name, name!)))
        throw refusedLine(this.#path, number, "has a name that stands above already");
      peers.push({ name: name!, publicKey, address, ...(isUnconfirmed && { isUnconfirmed }) });
    }
    return peers;
  }
}

/** `text` without the lines that `applies` accepts. Comments and line breaks are kept. */
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

/**
 * The user's stored state: the local identity, known peers, and peers that may connect.
 *
 *     identity          srudpi1… , the secret key; created when first needed
 *     known_peers       "host:port srudp1…" a line: trusted on first use, a changed key is fatal
 *     authorized_peers  see authorized-peers.ts
 *     peers             see saved-peers.ts
 *
 * All files are in `$XDG_CONFIG_HOME/srudp`. The folder has mode 0700, the files 0600. Blank lines
 * and lines that begin with # are ignored. An invalid line refuses the whole file, because skipping
 * it could make a changed key look like a new one.
 */
import { randomBytes } from "node:crypto";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { inspect } from "node:util";
import { equalBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import type { KeyPair } from "../crypto/primitives.ts";
import { nodePrimitives } from "../platform/crypto/node-provider.ts";
import {
  changePrivateFile,
  createPrivateFile,
  ensurePrivateFolder,
  quotePath,
  readPrivateFile,
} from "../platform/private-file.ts";
import { decodeIdentity, encodeIdentity, encodeKey } from "../wire/key-text.ts";
import { type AuthorizedPeer, parseAuthorizedPeers } from "./authorized-peers.ts";
import { keyOfLine, meaningfulLines, refusedLine } from "./key-lines.ts";
import { SavedPeers, withoutLines } from "./saved-peers.ts";

/** An X25519 key pair. Printing it shows only the public key. */
export class Identity implements KeyPair {
  readonly publicKey: Uint8Array;
  readonly #secretKey: Uint8Array;

  /** @param secretKey 32 bytes, not copied */
  constructor(secretKey: Uint8Array) {
    this.#secretKey = secretKey;
    this.publicKey = nodePrimitives.x25519.publicKey(secretKey);
    Object.defineProperty(this, inspect.custom, { value: () => `Identity ${encodeKey(this.publicKey)}` });
  }

  /** Generates an identity from the system's randomness. */
  static generate(): Identity {
    return new Identity(new Uint8Array(randomBytes(32)));
  }

  get secretKey(): Uint8Array {
    return this.#secretKey;
  }

  toString(): string {
    return encodeKey(this.publicKey);
  }

  toJSON(): string {
    return encodeKey(this.publicKey);
  }
}

/** A line of `known_peers`. */
export interface KnownPeer {
  /** `host:port` as it was typed. */
  readonly remote: string;
  readonly publicKey: Uint8Array;
}

/**
 * `$XDG_CONFIG_HOME/srudp`, or `~/.config/srudp` if that variable is unset or relative (XDG Base
 * Directory Specification).
 */
export function configurationFolder(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_CONFIG_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), ".config"), "srudp");
}

/**
 * Reads the identity from a file that the user named.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE when the file does not exist, ERR_KEY_FILE when it cannot
 * be trusted or contains no identity
 */
export async function readIdentity(path: string): Promise<Identity> {
  const identity = await findIdentity(path);
  if (identity === undefined) {
    throw new SrudpError("ERR_FILE_UNREADABLE", `There is no ${quotePath(path)}`);
  }
  return identity;
}

/**
 * Writes a new identity to `path`. Returns `undefined`, without a change, if the file exists
 * already.
 */
export async function createIdentity(path: string): Promise<Identity | undefined> {
  const identity = Identity.generate();
  const text = `# srudp identity, public key ${encodeKey(identity.publicKey)}; keep this file secret\n${encodeIdentity(identity.secretKey)}\n`;
  return (await createPrivateFile(path, text)) ? identity : undefined;
}

/** The files of one configuration folder. Every method throws ERR_KEY_FILE for a file that cannot be trusted or read. */
export class KeyStore {
  readonly #folder: string;

  /** @param folder absolute path; created on the first write */
  constructor(folder: string) {
    this.#folder = folder;
  }

  get identityPath(): string {
    return join(this.#folder, "identity");
  }

  get authorizedPath(): string {
    return join(this.#folder, "authorized_peers");
  }

  /** The identity. Creates one if it does not exist. */
  async identity(): Promise<Identity> {
    await ensurePrivateFolder(this.#folder);
    const path = this.identityPath;
    // If two processes create it at once, one of them reads the other's.
    return (await findIdentity(path)) ?? (await createIdentity(path)) ?? (await readIdentity(path));
  }

  /** Creates an identity. Returns `undefined`, without a change, if one exists. */
  async createIdentity(): Promise<Identity | undefined> {
    await ensurePrivateFolder(this.#folder);
    return createIdentity(this.identityPath);
  }

  /** The key that `remote` (`host:port`) had at first use, or `undefined` if it is unknown. */
  async knownPeer(remote: string): Promise<Uint8Array | undefined> {
    return (await this.knownPeers()).find((peer) => peer.remote === remote)?.publicKey;
  }

  /** All peers that were trusted on first use, by `host:port`. */
  async knownPeers(): Promise<KnownPeer[]> {
    const path = join(this.#folder, "known_peers");
    const known = new Map<string, KnownPeer>();
    for (const [number, line] of meaningfulLines(await this.#read(path))) {
      const [remote, key, ...rest] = line.split(/[ \t]+/);
      const publicKey = keyOfLine(path, number, rest.length === 0 ? key : undefined);
      // A peer in another spelling would count as unknown.
      if (!isRemote(remote!)) throw refusedLine(path, number, "has no host:port before the key");
      const other = known.get(remote!);
      if (other !== undefined && !equalBytes(other.publicKey, publicKey))
        throw refusedLine(path, number, "gives another key to an address that stands above");
      known.set(remote!, { remote: remote!, publicKey });
    }
    return [...known.values()];
  }

  /** Saves the key of `remote`, which must not be known yet. */
  async addKnownPeer(remote: string, publicKey: Uint8Array): Promise<void> {
    if (/\s/.test(remote)) throw new SrudpError("ERR_INTERNAL", "A peer's name with a blank");
    await this.#append("known_peers", `${remote} ${encodeKey(publicKey)}`);
  }

  /** All peers that may connect. */
  async authorizedPeers(): Promise<AuthorizedPeer[]> {
    return parseAuthorizedPeers(this.authorizedPath, await this.#read(this.authorizedPath));
  }

  /** Authorizes a peer to connect. */
  async addAuthorizedPeer(publicKey: Uint8Array, name: string): Promise<void> {
    if (name.includes("=")) throw new SrudpError("ERR_USAGE", "A peer's name has no = in it");
    await this.#append("authorized_peers", `${encodeKey(publicKey)} ${name.replace(/\s+/g, " ")}`.trim());
  }

  /** The paired peers. */
  get savedPeers(): SavedPeers {
    return new SavedPeers(this.#folder);
  }

  /**
   * Removes a key everywhere. It may no longer connect, and is no longer expected at any address.
   *
   * @returns the removed lines
   */
  async forget(publicKey: Uint8Array): Promise<number> {
    const key = encodeKey(publicKey);
    let forgotten = 0;
    for (const name of ["peers", "known_peers", "authorized_peers"]) {
      const path = join(this.#folder, name);
      if (!(await this.#read(path)).includes(key)) continue;
      await changePrivateFile(path, (text = "") =>
        withoutLines(text, (line) => {
          const applies = line.split(/[ \t]+/).includes(key);
          if (applies) forgotten++;
          return applies;
        }),
      );
    }
    return forgotten;
  }

  async #read(path: string): Promise<string> {
    const text = await readPrivateFile(path);
    // Anyone who can write to the folder can replace this file.
    if (text !== undefined) await ensurePrivateFolder(this.#folder);
    return text ?? "";
  }

  async #append(name: string, line: string): Promise<void> {
    await ensurePrivateFolder(this.#folder);
    await changePrivateFile(join(this.#folder, name), (text = "") => {
      const whole = text === "" || text.endsWith("\n") ? text : `${text}\n`;
      return `${whole}${line}\n`;
    });
  }
}

async function findIdentity(path: string): Promise<Identity | undefined> {
  const text = await readPrivateFile(path);
  if (text === undefined) return undefined;
  const [first, ...rest] = meaningfulLines(text);
  if (first === undefined || rest.length > 0)
    throw new SrudpError("ERR_KEY_FILE", `${quotePath(path)} does not hold one identity`);
  try {
    return new Identity(decodeIdentity(first[1]));
  } catch {
    throw new SrudpError("ERR_KEY_FILE", `Line ${first[0]} of ${quotePath(path)} is not an identity`);
  }
}

/** Whether `text` is a `host:port` in the canonical spelling of saved addresses. */
function isRemote(text: string): boolean {
  return /^(?:\[[0-9a-f:.]+(?:%[^\]\s]+)?\]|[^\s:/[\]]+):\d{1,5}$/.test(text) && text === text.toLowerCase();
}

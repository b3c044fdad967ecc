/**
 * The lines of `authorized_peers`: which peers may connect to a listener, and what each may do.
 *
 *     KEY [expose=TARGET]… [permit-listen=PORT]… [bench] [name]
 *
 * A peer whose line has no options gets the permissions of the command. Options in a line replace
 * them. A restricting line must not be misread as an unrestricted one. The whole file is therefore
 * refused if it contains an unknown option or an option after the name.
 */
import { encodeKey } from "../wire/key-text.ts";
import { keyOfLine, meaningfulLines, refusedLine } from "./key-lines.ts";

/** A line of `authorized_peers`. */
export interface AuthorizedPeer {
  readonly publicKey: Uint8Array;
  /** The text after the key and its options; may be empty. */
  readonly name: string;
  /** The targets and ports of this peer, instead of those of the command. */
  readonly expose: readonly string[];
  readonly permitListen: readonly string[];
  /** Whether the peer may measure the link. */
  readonly bench: boolean;
  /** Number of the line, from 1. */
  readonly line: number;
}

/** Whether the line defines the permissions of its peer. Otherwise those of the command apply. */
export function definesPermissions({ expose, permitListen, bench }: AuthorizedPeer): boolean {
  return bench || expose.length + permitListen.length > 0;
}

/** @throws SrudpError ERR_KEY_FILE, with the path and the number of the line */
export function parseAuthorizedPeers(path: string, text: string): AuthorizedPeer[] {
  const peers: AuthorizedPeer[] = [];
  const byKey = new Map<string, AuthorizedPeer>();
  for (const [line, words] of meaningfulLines(text)) {
    const peer = parseLine(path, line, words);
    const key = encodeKey(peer.publicKey);
    const other = byKey.get(key);
    // A duplicate key with options is ambiguous.
    if (other !== undefined && (definesPermissions(peer) || definesPermissions(other)))
      throw refusedLine(
        path,
        line,
        `names the same key as line ${other.line}; write one line with all options`,
      );
    byKey.set(key, peer);
    peers.push(peer);
  }
  return peers;
}

function parseLine(path: string, line: number, text: string): AuthorizedPeer {
  const [key, ...words] = text.split(/[ \t]+/);
  const publicKey = keyOfLine(path, line, key);
  const expose: string[] = [];
  const permitListen: string[] = [];
  let bench = false;
  for (let word = words[0]; word !== undefined; word = words[0]) {
    if (word.startsWith("expose=")) expose.push(word.slice("expose=".length));
    else if (word.startsWith("permit-listen=")) permitListen.push(word.slice("permit-listen=".length));
    else if (word === "bench") bench = true;
    else break;
    words.shift();
  }
  for (const word of words) {
    if (word.includes("=") || /^(?:expose|permit-listen|bench)$/i.test(word))
      throw refusedLine(path, line, `has ${quote(word)} where no such option can stand; ${OPTIONS}`);
  }
  return { publicKey, name: words.join(" "), expose, permitListen, bench, line };
}

const OPTIONS = "options are expose=TARGET, permit-listen=PORT and bench, between the key and the name";

function quote(word: string): string {
  return JSON.stringify(word.length > 64 ? `${word.slice(0, 64)}…` : word);
}

/**
 * The lines of `authorized_peers`: who may connect to a listener, and what each may do there.
 *
 *     KEY [expose=TARGET]… [permit-listen=PORT]… [bench] [name]
 *
 * A line without options gives its peer what the command gives to all; a line with options replaces that. A line
 * that restricts must not be misread as one that does not, so whatever looks like an option and is none, or stands
 * behind the name, refuses the whole file.
 */
import { encodeKey } from "../wire/key-text.ts";
import { keyOfLine, meaningfulLines, refusedLine } from "./key-lines.ts";

/** A line of `authorized_peers`. */
export interface AuthorizedPeer {
  readonly publicKey: Uint8Array;
  /** What stands behind the key and its options, perhaps nothing. */
  readonly name: string;
  /** What it may reach and have opened here, in place of what all may. */
  readonly expose: readonly string[];
  readonly permitListen: readonly string[];
  /** Whether it may measure the link. */
  readonly bench: boolean;
  /** Number of the line, from 1. */
  readonly line: number;
}

/** Whether the line says what its peer may do; otherwise the peer may do what all may. */
export function hasOwnPermissions({ expose, permitListen, bench }: AuthorizedPeer): boolean {
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
    // Which of the two would apply?
    if (other !== undefined && (hasOwnPermissions(peer) || hasOwnPermissions(other)))
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

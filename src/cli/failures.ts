/**
 * How the command line reports each error: the exit status, and a sentence that may name options or
 * commands. An error without a sentence is reported with the library's message (`base/errors.ts`).
 */
import { ERRORS, type ErrorCode, type SrudpError } from "../base/errors.ts";

interface Failure {
  /** From sysexits.h if one fits. */
  readonly exit: number;
  readonly sentence?: string;
}

const FAILURES: Readonly<Record<ErrorCode, Failure>> = {
  ERR_USAGE: {
    exit: 64,
    sentence: "The command line is not understood; see `srudp --help`.",
  },
  ERR_CODE_NEEDED: {
    exit: 64,
    sentence: "A code is needed; type it at the terminal, or use --code-file, --code-fd or SRUDP_CODE.",
  },
  ERR_CODE_FORMAT: { exit: 65 },
  ERR_KEY_FORMAT: { exit: 65 },
  ERR_SECRET_FORMAT: {
    exit: 65,
    sentence: "That is not a secret; make one with `srudp key secret`, it begins with srudps1.",
  },
  ERR_TICKET_FORMAT: { exit: 65 },
  ERR_PASSPHRASE_FORMAT: { exit: 65 },
  ERR_FILE_UNREADABLE: { exit: 66 },
  ERR_FILE_UNWRITABLE: { exit: 73 },
  ERR_HOST_UNKNOWN: { exit: 68 },
  ERR_NO_MEETING_PLACE: { exit: 69 },
  ERR_RELAY_REFUSED: {
    exit: 69,
    sentence: "The relay does not carry this link; name another one with --rendezvous or --turn.",
  },
  ERR_INTERNAL: {
    exit: 70,
    sentence: "This is a bug in srudp; please report it with the lines above.",
  },
  ERR_BIND: {
    exit: 71,
    sentence: "The UDP port cannot be bound; it may be taken, choose another with -p or leave it out.",
  },
  ERR_DESCRIPTORS: {
    exit: 71,
    sentence: "This process may open too few files; raise its limit, as with `ulimit -n 1024`.",
  },
  ERR_LINK_LOST: { exit: 74 },
  ERR_PEER_RESET: { exit: 74 },
  ERR_PEER_OUTPUT_CLOSED: { exit: 74 },
  ERR_PEER_INTERNAL: { exit: 74 },
  ERR_CODE_SPENT: {
    exit: 74,
    sentence:
      "The link is over, and its code or ticket was good for that one only; with --save NAME on both sides, keys or a secret, forwards come back by themselves.",
  },
  ERR_TIMEOUT: { exit: 75 },
  ERR_NO_PATH: {
    exit: 75,
    sentence:
      "The peer was met, but no path to it works; give both sides a relay (--rendezvous or --turn), see `srudp doctor`.",
  },
  ERR_CODE_EXPIRED: { exit: 75 },
  ERR_TICKET_EXPIRED: { exit: 75 },
  ERR_BUSY: { exit: 75 },
  ERR_PROTOCOL: { exit: 76 },
  ERR_FLOW_CONTROL: { exit: 76 },
  ERR_STREAM_LIMIT: { exit: 76 },
  ERR_STREAM_STATE: { exit: 76 },
  ERR_FINAL_SIZE: { exit: 76 },
  ERR_FRAME_ENCODING: { exit: 76 },
  ERR_PARAMETER: { exit: 76 },
  ERR_VERSION: { exit: 76 },
  ERR_WRONG_CODE: { exit: 77 },
  ERR_WRONG_PASSPHRASE: { exit: 77 },
  ERR_CODE_BURNT: { exit: 77 },
  ERR_KEY_REFUSED: {
    exit: 77,
    sentence:
      "The peer does not accept this side's key; have it listen with --allow and the key that `srudp key` prints here.",
  },
  ERR_PEER_KEY: { exit: 77 },
  ERR_PEER_UNKNOWN: {
    exit: 77,
    sentence: "The peer's key is not known here; pin it with --peer, or accept it once with --accept-new.",
  },
  ERR_KEY_FILE: { exit: 78 },
  ERR_CONTROL_FOLDER: { exit: 78 },
  ERR_CONTROL_ANSWER: { exit: 76 },
  ERR_CONTROL_TIMEOUT: { exit: 75 },
  ERR_CONFIG: { exit: 78 },
  ERR_KEY_EXISTS: { exit: 78 },
  ERR_NAME_TAKEN: {
    exit: 78,
    sentence:
      "Another peer has that name; choose another one, or let the old one go with `srudp peers forget`.",
  },
  ERR_NAME_UNKNOWN: {
    exit: 68,
    sentence: "No peer is saved under that name; `srudp peers` lists those that are.",
  },
  ERR_TARGET_FORBIDDEN: {
    exit: 77,
    sentence:
      "The other side does not allow it; it has to name it with --expose, or a port that it is to open with --permit-listen.",
  },
  ERR_BENCH_FORBIDDEN: {
    exit: 77,
    sentence: "The peer does not allow measurements; have it listen with --allow-bench.",
  },
  ERR_TARGET_REFUSED: { exit: 69 },
  ERR_TARGET_UNREACHABLE: { exit: 69 },
  ERR_TARGET_NO_NETWORK: { exit: 69 },
  ERR_TARGET_TIMEOUT: { exit: 69 },
  ERR_TARGET_UNKNOWN: { exit: 68 },
  ERR_TARGET_FAILED: { exit: 69 },
  ERR_FORWARD_BIND: { exit: 71 },
  ERR_PEER_FORWARD_BIND: { exit: 71 },
  ERR_FORWARD_CROWDED: { exit: 75 },
  ERR_INTERRUPTED: { exit: 130 },
  ERR_OUTPUT_FAILED: { exit: 74 },
  ERR_OUTPUT_CLOSED: { exit: 141 },
};

/** The exit status of a command that failed with `code`. */
export function exitStatusFor(code: ErrorCode): number {
  return FAILURES[code].exit;
}

/**
 * What failed and what to do about it, in one sentence, without the detail of the individual error.
 */
export function sentenceOf(code: ErrorCode): string {
  return FAILURES[code].sentence ?? ERRORS[code].message;
}

/** The message of `error` for the command line. */
export function messageOf({ code, detail }: SrudpError): string {
  return detail === "" ? sentenceOf(code) : `${detail}: ${sentenceOf(code)}`;
}

/**
 * `text` with the sentence of the command line instead of the library's, if `text` ends with the
 * library's sentence for `code`.
 */
export function withRemedy(text: string, code: ErrorCode): string {
  const { message } = ERRORS[code];
  return text.endsWith(message) ? text.slice(0, -message.length) + sentenceOf(code) : text;
}

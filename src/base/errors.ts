/**
 * Every way in which a link can fail, in one table: who caused it, what goes over the wire, how the
 * command exits, and the sentence that tells a person what to do next.
 *
 * Local misuse and remote violations are different rows. Unauthenticated junk is never an error: it is
 * counted and dropped where it arrives.
 */

export type ErrorOrigin = "local" | "remote" | "network";

export interface ErrorRow {
  readonly origin: ErrorOrigin;
  /** Code carried by CLOSE and other frames, `undefined` where the condition is never sent. */
  readonly wire?: number;
  /** What the side that receives `wire` reports, where that is not this error itself. */
  readonly receivedAs?: ErrorCode;
  /** Exit status of the command (sysexits.h where one fits). */
  readonly exit: number;
  /** What happened and what to do about it, one sentence for a person. */
  readonly sentence: string;
}

const TABLE = {
  ERR_USAGE: {
    origin: "local",
    exit: 64,
    sentence: "The command line is not understood; see `srudp --help`.",
  },
  ERR_CODE_NEEDED: {
    origin: "local",
    exit: 64,
    sentence: "A code is needed; type it at the terminal, or use --code-file, --code-fd or SRUDP_CODE.",
  },
  ERR_CODE_FORMAT: {
    origin: "local",
    exit: 65,
    sentence:
      "That is not a code; a code is a number from 1 to 99 and three words, such as 42-ocean-lizard-maple.",
  },
  ERR_KEY_FORMAT: {
    origin: "local",
    exit: 65,
    sentence: "That is not a key; copy it whole, it begins with srudp1.",
  },
  ERR_SECRET_FORMAT: {
    origin: "local",
    exit: 65,
    sentence: "That is not a secret; make one with `srudp key secret`, it begins with srudps1.",
  },
  ERR_TICKET_FORMAT: {
    origin: "local",
    exit: 65,
    sentence: "That is not a ticket; copy it whole, it begins with srudpt1.",
  },
  ERR_PASSPHRASE_FORMAT: {
    origin: "local",
    exit: 65,
    sentence: "That is not a passphrase; it needs at least 12 characters on one line.",
  },
  ERR_FILE_UNREADABLE: {
    origin: "local",
    exit: 66,
    sentence: "The file cannot be read; check its name and permissions.",
  },
  ERR_FILE_UNWRITABLE: {
    origin: "local",
    exit: 73,
    sentence: "The file cannot be written; check the folder's name and permissions.",
  },
  ERR_HOST_UNKNOWN: {
    origin: "local",
    exit: 68,
    sentence: "No address is known for that host; check the name, or give an address.",
  },
  ERR_NO_MEETING_PLACE: {
    origin: "network",
    exit: 69,
    sentence: "No meeting place can be reached; give the peer's address as host:port.",
  },
  ERR_RELAY_REFUSED: {
    origin: "network",
    exit: 69,
    sentence: "The relay does not carry this link; name another one with --rendezvous or --turn.",
  },
  ERR_INTERNAL: {
    origin: "local",
    wire: 0x01,
    receivedAs: "ERR_PEER_INTERNAL",
    exit: 70,
    sentence: "This is a bug in srudp; please report it with the lines above.",
  },
  ERR_BIND: {
    origin: "local",
    exit: 71,
    sentence: "The UDP port cannot be bound; it may be taken, choose another with -p or leave it out.",
  },
  ERR_DESCRIPTORS: {
    origin: "local",
    exit: 71,
    sentence: "This process may open too few files; raise its limit, as with `ulimit -n 1024`.",
  },
  ERR_LINK_LOST: {
    origin: "network",
    exit: 74,
    sentence: "The link was lost: the peer went silent before the end, so what arrived may be incomplete.",
  },
  ERR_PEER_RESET: {
    origin: "remote",
    wire: 0x100,
    exit: 74,
    sentence: "The peer broke the link off before the end; what arrived may be incomplete.",
  },
  ERR_PEER_OUTPUT_CLOSED: {
    origin: "remote",
    wire: 0x101,
    exit: 74,
    sentence: "The peer's output was closed early, so it did not take everything that was sent.",
  },
  ERR_PEER_INTERNAL: {
    origin: "remote",
    exit: 74,
    sentence:
      "The peer ended the link because of an internal error on its side; what arrived may be incomplete.",
  },
  ERR_CODE_SPENT: {
    origin: "network",
    exit: 74,
    sentence:
      "The link is over, and its code or ticket was good for that one only; with --save NAME on both sides, keys or a secret, forwards come back by themselves.",
  },
  ERR_TIMEOUT: {
    origin: "network",
    exit: 75,
    sentence: "Nobody answered in time; check that the peer is waiting and that its UDP port is open.",
  },
  ERR_NO_PATH: {
    origin: "network",
    exit: 75,
    sentence:
      "The peer was met, but no path to it works; give both sides a relay (--rendezvous or --turn), see `srudp doctor`.",
  },
  ERR_CODE_EXPIRED: { origin: "local", exit: 75, sentence: "The code has expired; agree on a new one." },
  ERR_TICKET_EXPIRED: {
    origin: "local",
    exit: 75,
    sentence: "The ticket has expired; have the other side make a new one.",
  },
  ERR_BUSY: {
    origin: "remote",
    wire: 0x102,
    exit: 75,
    sentence:
      "The peer is busy with another link, or takes no more guesses from here for now; try again later.",
  },
  ERR_PROTOCOL: {
    origin: "remote",
    wire: 0x0a,
    exit: 76,
    sentence: "The peer broke the protocol; check that both sides run the same version of srudp.",
  },
  ERR_FLOW_CONTROL: {
    origin: "remote",
    wire: 0x03,
    exit: 76,
    sentence:
      "The peer sent more than it was allowed to; check that both sides run the same version of srudp.",
  },
  ERR_STREAM_LIMIT: {
    origin: "remote",
    wire: 0x04,
    exit: 76,
    sentence:
      "The peer opened more streams than it was allowed to; check that both sides run the same version of srudp.",
  },
  ERR_STREAM_STATE: {
    origin: "remote",
    wire: 0x05,
    exit: 76,
    sentence:
      "The peer used a stream that it may not use; check that both sides run the same version of srudp.",
  },
  ERR_FINAL_SIZE: {
    origin: "remote",
    wire: 0x06,
    exit: 76,
    sentence:
      "The peer changed the length of a stream after its end; check that both sides run the same version of srudp.",
  },
  ERR_FRAME_ENCODING: {
    origin: "remote",
    wire: 0x07,
    exit: 76,
    sentence:
      "The peer sent a frame that cannot be read; check that both sides run the same version of srudp.",
  },
  ERR_PARAMETER: {
    origin: "remote",
    wire: 0x08,
    exit: 76,
    sentence:
      "The peer announced limits that make no sense; check that both sides run the same version of srudp.",
  },
  ERR_VERSION: {
    origin: "remote",
    exit: 76,
    sentence:
      "The other side speaks another version of the protocol; install the same version of srudp on both sides.",
  },
  ERR_WRONG_CODE: {
    origin: "remote",
    exit: 77,
    sentence: "The peer does not accept that code; check each word with the other side and try again.",
  },
  ERR_WRONG_PASSPHRASE: {
    origin: "remote",
    exit: 77,
    sentence: "The peer does not accept that passphrase; check that both sides use the same file.",
  },
  ERR_CODE_BURNT: {
    origin: "local",
    exit: 77,
    sentence: "Three wrong codes came in, so the code is void; start again and tell the peer the new one.",
  },
  ERR_KEY_REFUSED: {
    origin: "remote",
    wire: 0x103,
    exit: 77,
    sentence:
      "The peer does not accept this side's key; have it listen with --allow and the key that `srudp key` prints here.",
  },
  ERR_PEER_KEY: {
    origin: "remote",
    wire: 0x104,
    receivedAs: "ERR_KEY_REFUSED",
    exit: 77,
    sentence: "The peer's key is not the expected one; do not go on unless you know why it changed.",
  },
  ERR_PEER_UNKNOWN: {
    origin: "local",
    wire: 0x105,
    receivedAs: "ERR_KEY_REFUSED",
    exit: 77,
    sentence: "The peer's key is not known here; pin it with --peer, or accept it once with --accept-new.",
  },
  ERR_KEY_FILE: {
    origin: "local",
    exit: 78,
    sentence:
      "The key or configuration file cannot be trusted; set its owner and permissions as told and try again.",
  },
  ERR_CONTROL_FOLDER: {
    origin: "local",
    exit: 78,
    sentence:
      "The control sockets cannot be used, so nothing was sent; set XDG_RUNTIME_DIR to a folder that only you can write to.",
  },
  ERR_CONTROL_ANSWER: {
    origin: "local",
    exit: 76,
    sentence:
      "The running process sent an answer that cannot be read; it may be another version of srudp, start it again.",
  },
  ERR_CONTROL_TIMEOUT: {
    origin: "local",
    exit: 75,
    sentence: "The running process does not answer; it may be stopped or overloaded.",
  },
  ERR_CONFIG: {
    origin: "local",
    exit: 78,
    sentence: "The configuration file is not understood; nothing was done, correct it and try again.",
  },
  ERR_KEY_EXISTS: {
    origin: "local",
    exit: 78,
    sentence: "There is a key already; move its file away if peers may forget it.",
  },
  ERR_NAME_TAKEN: {
    origin: "local",
    exit: 78,
    sentence:
      "Another peer has that name; choose another one, or let the old one go with `srudp peers forget`.",
  },
  ERR_NAME_UNKNOWN: {
    origin: "local",
    exit: 68,
    sentence: "No peer is saved under that name; `srudp peers` lists those that are.",
  },
  ERR_TARGET_FORBIDDEN: {
    origin: "remote",
    wire: 0x110,
    exit: 77,
    sentence:
      "The other side does not allow it; it has to name it with --expose, or a port that it is to open with --permit-listen.",
  },
  ERR_BENCH_FORBIDDEN: {
    origin: "remote",
    wire: 0x118,
    exit: 77,
    sentence: "The peer does not allow measurements; have it listen with --allow-bench.",
  },
  ERR_TARGET_REFUSED: {
    origin: "remote",
    wire: 0x111,
    exit: 69,
    sentence: "Nothing listens there; check that the service is running.",
  },
  ERR_TARGET_UNREACHABLE: {
    origin: "remote",
    wire: 0x112,
    exit: 69,
    sentence: "There is no way to the target from there; check the address and the firewalls before it.",
  },
  ERR_TARGET_NO_NETWORK: {
    origin: "remote",
    wire: 0x117,
    exit: 69,
    sentence:
      "That machine has no network that leads to the target; check its routes, and whether it has IPv6.",
  },
  ERR_TARGET_TIMEOUT: {
    origin: "remote",
    wire: 0x113,
    exit: 69,
    sentence: "The target did not answer; check its address and the firewalls before it.",
  },
  ERR_TARGET_UNKNOWN: {
    origin: "remote",
    wire: 0x114,
    exit: 68,
    sentence: "The target's name is not known there; check it, or give an address.",
  },
  ERR_TARGET_FAILED: {
    origin: "remote",
    wire: 0x115,
    exit: 69,
    sentence: "The target cannot be reached.",
  },
  ERR_FORWARD_BIND: {
    origin: "local",
    wire: 0x116,
    receivedAs: "ERR_PEER_FORWARD_BIND",
    exit: 71,
    sentence: "The port or socket to be forwarded cannot be opened; choose another.",
  },
  ERR_PEER_FORWARD_BIND: {
    origin: "remote",
    exit: 71,
    sentence: "The peer cannot open the port or socket to be forwarded; choose another.",
  },
  ERR_FORWARD_CROWDED: {
    origin: "local",
    exit: 75,
    sentence:
      "As many connections are open as one link carries, and none of them ended; close some, or run a second forward.",
  },
  ERR_INTERRUPTED: { origin: "local", exit: 130, sentence: "Interrupted." },
  ERR_OUTPUT_FAILED: {
    origin: "local",
    exit: 74,
    sentence:
      "The output cannot be written, so not everything that arrived is there; check the disk's space.",
  },
  ERR_OUTPUT_CLOSED: { origin: "local", exit: 141, sentence: "The output was closed." },
} as const;

export type ErrorCode = keyof typeof TABLE;

/** The row of each error code. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = TABLE;

/** The error that this side sends as `wire`; undefined for a value that no row has. */
export function errorSentAs(wire: number): ErrorCode | undefined {
  for (const code of Object.keys(TABLE) as ErrorCode[]) if (ERRORS[code].wire === wire) return code;
  return undefined;
}

/**
 * The error to report for a `wire` code that the peer sent, never one of origin "local"; undefined for a value
 * that no row has.
 */
export function errorReceivedAs(wire: number): ErrorCode | undefined {
  const sent = errorSentAs(wire);
  return sent && (ERRORS[sent].receivedAs ?? sent);
}

/** Whether `error` tells of a peer that broke the rules or reported a failure; anything else that is thrown is a bug here. */
export function isRemoteError(error: unknown): error is SrudpError {
  return error instanceof SrudpError && ERRORS[error.code].origin === "remote";
}

/** What this project throws: a code of the table, its sentence, and what there is to say beyond it. */
export class SrudpError extends Error {
  override readonly name = "SrudpError";
  readonly code: ErrorCode;
  /** What is special about this case, perhaps nothing. */
  readonly detail: string;

  /** @param detail what is special about this case, put in front of the table's sentence */
  constructor(code: ErrorCode, detail?: string, cause?: unknown) {
    super(
      detail === undefined ? ERRORS[code].sentence : `${detail}: ${ERRORS[code].sentence}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.detail = detail ?? "";
  }

  /** Exit status that the command ends with. */
  get exit(): number {
    return ERRORS[this.code].exit;
  }
}

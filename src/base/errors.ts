/**
 * Every error in one table: who caused it, the code sent to the peer, and a message.
 *
 * Local misuse and remote violations are different rows. Unauthenticated junk is never an error:
 * the code that receives it counts and drops it. Messages name no command-line option: exit
 * statuses and remedies are in `cli/failures.ts`.
 */

export type ErrorOrigin = "local" | "remote" | "network";

export interface ErrorRow {
  readonly origin: ErrorOrigin;
  /** Code in CLOSE and other frames; `undefined` if the condition is never sent. */
  readonly wire?: number;
  /** The error that the receiver of `wire` reports, if it differs from this one. */
  readonly receivedAs?: ErrorCode;
  /** One sentence that describes the failure. */
  readonly message: string;
}

const TABLE = {
  ERR_USAGE: {
    origin: "local",
    message: "An argument or option is not valid.",
  },
  ERR_CODE_NEEDED: {
    origin: "local",
    message: "A code is needed, and none was given.",
  },
  ERR_CODE_FORMAT: {
    origin: "local",
    message:
      "That is not a code; a code is a number from 1 to 99 and three words, such as 42-ocean-lizard-maple.",
  },
  ERR_KEY_FORMAT: {
    origin: "local",
    message: "That is not a key; copy it whole, it begins with srudp1.",
  },
  ERR_SECRET_FORMAT: {
    origin: "local",
    message: "That is not a secret; a secret is 256 bits long and begins with srudps1.",
  },
  ERR_TICKET_FORMAT: {
    origin: "local",
    message: "That is not a ticket; copy it whole, it begins with srudpt1.",
  },
  ERR_PASSPHRASE_FORMAT: {
    origin: "local",
    message: "That is not a passphrase; it needs at least 12 characters on one line.",
  },
  ERR_FILE_UNREADABLE: {
    origin: "local",
    message: "The file cannot be read; check its name and permissions.",
  },
  ERR_FILE_UNWRITABLE: {
    origin: "local",
    message: "The file cannot be written; check the folder's name and permissions.",
  },
  ERR_HOST_UNKNOWN: {
    origin: "local",
    message: "No address is known for that host; check the name, or give an address.",
  },
  ERR_NO_MEETING_PLACE: {
    origin: "network",
    message: "No meeting place can be reached; give the peer's address as host:port.",
  },
  ERR_RELAY_REFUSED: {
    origin: "network",
    message: "The relay does not carry this link; use another relay.",
  },
  ERR_INTERNAL: {
    origin: "local",
    wire: 0x01,
    receivedAs: "ERR_PEER_INTERNAL",
    message: "This is a bug in srudp; please report it.",
  },
  ERR_BIND: {
    origin: "local",
    message: "The UDP port cannot be bound; it may be in use, choose another one or let the system choose.",
  },
  ERR_DESCRIPTORS: {
    origin: "local",
    message: "This process may open too few files; raise its limit of open files.",
  },
  ERR_LINK_LOST: {
    origin: "network",
    message: "The link was lost: the peer went silent before the end, so what arrived may be incomplete.",
  },
  ERR_PEER_RESET: {
    origin: "remote",
    wire: 0x100,
    message: "The peer broke the link off before the end; what arrived may be incomplete.",
  },
  ERR_PEER_OUTPUT_CLOSED: {
    origin: "remote",
    wire: 0x101,
    message: "The peer's output was closed early, so it did not take everything that was sent.",
  },
  ERR_PEER_INTERNAL: {
    origin: "remote",
    message:
      "The peer ended the link because of an internal error on its side; what arrived may be incomplete.",
  },
  ERR_CODE_SPENT: {
    origin: "network",
    message: "The link has ended, and its code or ticket was valid for that link only.",
  },
  ERR_TIMEOUT: {
    origin: "network",
    message: "Nobody answered in time; check that the peer is waiting and that its UDP port is open.",
  },
  ERR_NO_PATH: {
    origin: "network",
    message: "The peer was found, but no path to it works; configure a relay on both sides.",
  },
  ERR_CODE_EXPIRED: { origin: "local", message: "The code has expired; agree on a new one." },
  ERR_TICKET_EXPIRED: {
    origin: "local",
    message: "The ticket has expired; have the other side make a new one.",
  },
  ERR_BUSY: {
    origin: "remote",
    wire: 0x102,
    message:
      "The peer is busy with another link, or takes no more guesses from here for now; try again later.",
  },
  ERR_PROTOCOL: {
    origin: "remote",
    wire: 0x0a,
    message: "The peer broke the protocol; check that both sides run the same version of srudp.",
  },
  ERR_FLOW_CONTROL: {
    origin: "remote",
    wire: 0x03,
    message:
      "The peer sent more than it was allowed to; check that both sides run the same version of srudp.",
  },
  ERR_STREAM_LIMIT: {
    origin: "remote",
    wire: 0x04,
    message:
      "The peer opened more streams than it was allowed to; check that both sides run the same version of srudp.",
  },
  ERR_STREAM_STATE: {
    origin: "remote",
    wire: 0x05,
    message:
      "The peer used a stream that it may not use; check that both sides run the same version of srudp.",
  },
  ERR_FINAL_SIZE: {
    origin: "remote",
    wire: 0x06,
    message:
      "The peer changed the length of a stream after its end; check that both sides run the same version of srudp.",
  },
  ERR_FRAME_ENCODING: {
    origin: "remote",
    wire: 0x07,
    message:
      "The peer sent a frame that cannot be read; check that both sides run the same version of srudp.",
  },
  ERR_PARAMETER: {
    origin: "remote",
    wire: 0x08,
    message:
      "The peer announced limits that make no sense; check that both sides run the same version of srudp.",
  },
  ERR_VERSION: {
    origin: "remote",
    message:
      "The other side speaks another version of the protocol; install the same version of srudp on both sides.",
  },
  ERR_WRONG_CODE: {
    origin: "remote",
    message: "The peer does not accept that code; check each word with the other side and try again.",
  },
  ERR_WRONG_PASSPHRASE: {
    origin: "remote",
    message: "The peer does not accept that passphrase; check that both sides use the same file.",
  },
  ERR_CODE_BURNT: {
    origin: "local",
    message: "Three wrong codes came in, so the code is void; start again and tell the peer the new one.",
  },
  ERR_KEY_REFUSED: {
    origin: "remote",
    wire: 0x103,
    message: "The peer does not accept the local public key; the peer has to allow it.",
  },
  ERR_PEER_KEY: {
    origin: "remote",
    wire: 0x104,
    receivedAs: "ERR_KEY_REFUSED",
    message: "The peer's key is not the expected one; do not go on unless you know why it changed.",
  },
  ERR_PEER_UNKNOWN: {
    origin: "local",
    wire: 0x105,
    receivedAs: "ERR_KEY_REFUSED",
    message: "The peer's public key is not known.",
  },
  ERR_KEY_FILE: {
    origin: "local",
    message:
      "The key or configuration file cannot be trusted; set its owner and permissions as told and try again.",
  },
  ERR_CONTROL_FOLDER: {
    origin: "local",
    message:
      "The control sockets cannot be used, so nothing was sent; set XDG_RUNTIME_DIR to a folder that only you can write to.",
  },
  ERR_CONTROL_ANSWER: {
    origin: "local",
    message:
      "The running process sent an answer that cannot be read; it may be another version of srudp, start it again.",
  },
  ERR_CONTROL_TIMEOUT: {
    origin: "local",
    message: "The running process does not answer; it may be stopped or overloaded.",
  },
  ERR_CONFIG: {
    origin: "local",
    message: "The configuration file is not understood; nothing was done, correct it and try again.",
  },
  ERR_KEY_EXISTS: {
    origin: "local",
    message: "There is a key already; move its file away if peers may forget it.",
  },
  ERR_NAME_TAKEN: {
    origin: "local",
    message: "Another peer is saved under that name.",
  },
  ERR_NAME_UNKNOWN: {
    origin: "local",
    message: "No peer is saved under that name.",
  },
  ERR_TARGET_FORBIDDEN: {
    origin: "remote",
    wire: 0x110,
    message: "The peer does not permit that target or port.",
  },
  ERR_BENCH_FORBIDDEN: {
    origin: "remote",
    wire: 0x118,
    message: "The peer does not permit measurements.",
  },
  ERR_TARGET_REFUSED: {
    origin: "remote",
    wire: 0x111,
    message: "Nothing listens there; check that the service is running.",
  },
  ERR_TARGET_UNREACHABLE: {
    origin: "remote",
    wire: 0x112,
    message: "There is no way to the target from there; check the address and the firewalls before it.",
  },
  ERR_TARGET_NO_NETWORK: {
    origin: "remote",
    wire: 0x117,
    message:
      "That machine has no network that leads to the target; check its routes, and whether it has IPv6.",
  },
  ERR_TARGET_TIMEOUT: {
    origin: "remote",
    wire: 0x113,
    message: "The target did not answer; check its address and the firewalls before it.",
  },
  ERR_TARGET_UNKNOWN: {
    origin: "remote",
    wire: 0x114,
    message: "The target's name is not known there; check it, or give an address.",
  },
  ERR_TARGET_FAILED: {
    origin: "remote",
    wire: 0x115,
    message: "The target cannot be reached.",
  },
  ERR_FORWARD_BIND: {
    origin: "local",
    wire: 0x116,
    receivedAs: "ERR_PEER_FORWARD_BIND",
    message: "The port or socket to be forwarded cannot be opened; choose another.",
  },
  ERR_PEER_FORWARD_BIND: {
    origin: "remote",
    message: "The peer cannot open the port or socket to be forwarded; choose another.",
  },
  ERR_FORWARD_CROWDED: {
    origin: "local",
    message:
      "As many connections are open as one link carries, and none of them ended; close some, or run a second forward.",
  },
  ERR_INTERRUPTED: { origin: "local", message: "Interrupted." },
  ERR_OUTPUT_FAILED: {
    origin: "local",
    message: "The output cannot be written, so not everything that arrived is there; check the disk's space.",
  },
  ERR_OUTPUT_CLOSED: { origin: "local", message: "The output was closed." },
} as const;

export type ErrorCode = keyof typeof TABLE;

/** The table row of each error code. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = TABLE;

/** The wire code of `code`. A code that is never sent maps to the wire code of ERR_INTERNAL. */
export function wireCodeOf(code: ErrorCode): number {
  return ERRORS[code].wire ?? TABLE.ERR_INTERNAL.wire;
}

/** The error that the local side sends as `wire`; undefined if no row has this value. */
export function errorSentAs(wire: number): ErrorCode | undefined {
  for (const code of Object.keys(TABLE) as ErrorCode[]) if (ERRORS[code].wire === wire) return code;
  return undefined;
}

/**
 * The error to report for a `wire` code received from the peer, never one of origin "local".
 * Undefined if no row has this value.
 */
export function errorReceivedAs(wire: number): ErrorCode | undefined {
  const sent = errorSentAs(wire);
  return sent && (ERRORS[sent].receivedAs ?? sent);
}

/**
 * Whether `error` is a protocol violation by the peer or a failure that the peer reported. Any
 * other thrown value is a local bug.
 */
export function isRemoteError(error: unknown): error is SrudpError {
  return error instanceof SrudpError && ERRORS[error.code].origin === "remote";
}

/**
 * The error class of this project: an error code, the table's message, and details of the
 * individual failure.
 */
export class SrudpError extends Error {
  override readonly name = "SrudpError";
  readonly code: ErrorCode;
  /** Details of this failure, such as a value or a path; may be empty. */
  readonly detail: string;

  /** @param detail details of this failure, prepended to the table's message */
  constructor(code: ErrorCode, detail?: string, cause?: unknown) {
    super(
      detail === undefined ? ERRORS[code].message : `${detail}: ${ERRORS[code].message}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.detail = detail ?? "";
  }
}

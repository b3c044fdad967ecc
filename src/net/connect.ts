/**
 * Connecting: from a host and a port to a link, or to the reason why there is none.
 *
 * The peer may be listening, or connecting to us at the same time; the handshake finds out which.
 */
import { SrudpError } from "../base/errors.ts";
import { type Connection, type ConnectionEvent, EVENT, type Path } from "../engine/connection.ts";
import type { Attachment, ConnectionOwner } from "./attachment.ts";
import { bindConnecting, familiesOf } from "./bind.ts";
import type { Endpoint } from "./endpoint.ts";
import { wireOfCode } from "./flow.ts";
import { Link } from "./link.ts";
import { LinkCore } from "./link-core.ts";
import { newConnection } from "./new-connection.ts";
import type { ConnectOptions } from "./options.ts";
import { prepareQlogDirectory } from "./qlog-file.ts";
import { SlotMeeting } from "./reach/slot-meeting.ts";
import { resolveHost } from "./resolve.ts";
import { newGate, Trust } from "./trust.ts";

/**
 * Reaches a peer at `host` and `port`.
 *
 * The same UDP port number is bound here when it is free (unless `localPort` says another), so that two
 * sides that connect to each other at one number meet without either listening.
 *
 * @returns the link, once the peer has shown that it holds the keys
 * @throws SrudpError ERR_USAGE without anything to know the peer by, ERR_FILE_UNWRITABLE (`qlogDirectory`),
 * ERR_HOST_UNKNOWN, ERR_BIND, ERR_TIMEOUT,
 * ERR_BUSY, ERR_VERSION, ERR_WRONG_CODE, ERR_WRONG_PASSPHRASE, ERR_PEER_KEY, ERR_KEY_REFUSED; the signal's
 * reason; what `verifyPeer` threw
 */
export async function connect(options: ConnectOptions): Promise<Link> {
  const { host, port, signal, timeoutMs = Infinity } = options;
  signal?.throwIfAborted();
  const trust = new Trust(options);
  const patience = new Patience(signal, timeoutMs);
  try {
    const { qlogDirectory } = options;
    if (qlogDirectory !== undefined) await patience.limit(prepareQlogDirectory(qlogDirectory));
    const families = familiesOf(options);
    const family = families.length === 1 ? families[0] : options.family;
    const found = await patience.limit(resolveHost(host, { family, names: options.resolve }));
    const wanted = families.filter((one) => found.some((address) => address.family === one));
    const binding = bindConnecting(options, wanted, port);
    const endpoint = await patience.limit(binding, (late) => late.close());
    const paths: Path[] = [];
    for (const { address, family: ofAddress } of found) {
      const socket = endpoint.sockets.find((one) => one.family === ofAddress);
      if (socket !== undefined) paths.push({ address, port, socket: socket.index });
    }
    const attempt = new Attempt(endpoint, trust, paths, options);
    const slots = new SlotMeeting({
      ...attempt.parts,
      remotes: found,
      port,
      localAddress: options.localAddress,
    });
    try {
      return await patience.limit(attempt.link, undefined, () => attempt.giveUp());
    } finally {
      slots.close();
    }
  } finally {
    patience.end();
  }
}

/** One attempt to get a link. */
class Attempt implements ConnectionOwner {
  /** The link, or why there is none. */
  readonly link: Promise<Link>;
  readonly #endpoint: Endpoint;
  readonly #connection: Connection;
  readonly #attachment: Attachment;
  readonly #hasPipe: boolean;
  #made: { readonly core: LinkCore; readonly link: Link } | undefined;
  #isSettled = false;
  #verifyFailure: { readonly error: unknown } | undefined;
  #resolve!: (link: Link) => void;
  #reject!: (error: unknown) => void;

  constructor(endpoint: Endpoint, trust: Trust, paths: readonly Path[], options: ConnectOptions) {
    this.link = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#endpoint = endpoint;
    this.#hasPipe = options.pipe ?? true;
    const { connection, attachment } = newConnection(endpoint, this, {
      role: "initiator",
      trust,
      paths,
      common: options,
      onVerifyFailure: (error) => {
        this.#verifyFailure = { error };
      },
    });
    this.#connection = connection;
    this.#attachment = attachment;
    // The peer may be calling us while we call it.
    const gate = newGate(endpoint.now(), trust);
    endpoint.onFirstMessage = (now, from, bytes) => {
      const visitor = gate.examine(bytes);
      if (visitor === undefined) return;
      const admission = gate.admit(now, visitor, from.address, from.port);
      if (admission === "enter") endpoint.deliver(attachment, now, from, bytes);
      else if (admission !== "drop") from.socket.send(admission, from.address, from.port);
    };
  }

  /** What drives the attempt. */
  get parts(): { endpoint: Endpoint; connection: Connection; attachment: Attachment } {
    return { endpoint: this.#endpoint, connection: this.#connection, attachment: this.#attachment };
  }

  handleEvent(event: ConnectionEvent): void {
    if (event.kind === EVENT.established) this.#make();
    // Together with the first packet may come a CLOSE: what else has arrived is looked at before that counts.
    else if (event.kind === EVENT.confirmed) queueMicrotask(() => this.#succeed());
    else if (event.kind === EVENT.closed) this.#fail();
    else this.#made?.core.handleEvent(event);
  }

  handleDetached(): void {
    this.#settle(() => this.#reject(new SrudpError("ERR_INTERRUPTED", "The endpoint was closed")));
  }

  /** Ends the attempt; the promise is left to whoever gave up. */
  giveUp(): void {
    this.#isSettled = true;
    this.#connection.close(this.#attachment.now(), wireOfCode("ERR_PEER_RESET"), "");
    this.#attachment.touch();
    this.#attachment.flush();
    this.#endpoint.close();
  }

  #make(): void {
    this.#endpoint.onFirstMessage = undefined;
    const core = new LinkCore(this.#connection, this.#attachment);
    const link = new Link(core);
    this.#made = { core, link };
    core.start(link, this.#hasPipe);
  }

  #succeed(): void {
    const made = this.#made;
    if (made === undefined) return;
    this.#settle(() => {
      this.#attachment.owner = made.core;
      made.core.handOut();
      this.#resolve(made.link);
    });
  }

  #fail(): void {
    const code = this.#connection.closeCause?.code ?? "ERR_PEER_RESET";
    this.#settle(() => {
      if (this.#verifyFailure !== undefined) this.#reject(this.#verifyFailure.error);
      else this.#reject(new SrudpError(code));
    });
  }

  #settle(settle: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    settle();
  }
}

/** The caller's patience: a time and a signal, either of which ends the waiting for whatever is waited for. */
class Patience {
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onAbort: () => void;
  #isOver = false;
  #reason: unknown;
  #onOver: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined, timeoutMs: number) {
    this.#signal = signal;
    this.#onAbort = () => this.#lose(signal?.reason);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (Number.isFinite(timeoutMs)) {
      this.#timer = setTimeout(() => this.#lose(new SrudpError("ERR_TIMEOUT")), timeoutMs);
    }
  }

  /**
   * What `work` gives, unless patience ends before it.
   *
   * @param discard takes what comes too late
   * @param abandon is called when patience ends, to stop the work
   */
  limit<T>(work: Promise<T>, discard?: (late: T) => void, abandon?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#onOver = () => {
        reject(this.#reason);
        abandon?.();
      };
      work.then(
        (value) => {
          if (this.#isOver) discard?.(value);
          else resolve(value);
        },
        (error: unknown) => reject(error),
      );
      if (this.#isOver) this.#onOver();
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onOver = undefined;
  }

  #lose(reason: unknown): void {
    this.#isOver = true;
    this.#reason = reason;
    this.#onOver?.();
  }
}

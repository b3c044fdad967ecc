/**
 * Connects to a host and port.
 *
 * The peer may be listening or may be connecting to this side at the same time. The handshake
 * resolves both cases.
 */
import type { Path } from "../base/path.ts";
import { bindConnecting, familiesOf } from "../link/bind.ts";
import { checkConnectOptions } from "../link/check-options.ts";
import type { Link } from "../link/link.ts";
import { Attempt } from "../link/link-attempt.ts";
import type { ConnectOptions } from "../link/link-options.ts";
import { prepareQlogDirectory } from "../link/qlog/qlog-file.ts";
import { resolveHost } from "../link/resolve.ts";
import { Trust } from "../link/trust.ts";
import { Deadline } from "../platform/deadline.ts";
import { isLocalAddress } from "../platform/udp/local-address.ts";
import { Crossing } from "../traversal/crossing.ts";
import { TimedPunch } from "../traversal/timed-punch.ts";

/**
 * Connects to a peer at `host` and `port`.
 *
 * The peer is called from an ephemeral port. A peer on another machine is also called from its own
 * port number, if that port is free locally and neither `localPort` nor `cross: false` forbids it.
 * Two sides that connect to each other with the same port number therefore find each other without
 * a listener. The second port is released when the link is open, unless the link uses it.
 *
 * @returns the link, once the peer has proved possession of its keys
 * @throws SrudpError ERR_USAGE for options out of range or without a way to authenticate the peer,
 * ERR_FILE_UNWRITABLE (`qlogDirectory`), ERR_HOST_UNKNOWN, ERR_BIND, ERR_TIMEOUT, ERR_BUSY,
 * ERR_VERSION, ERR_WRONG_CODE, ERR_WRONG_PASSPHRASE, ERR_PEER_KEY, ERR_KEY_REFUSED; the signal's
 * reason; the error of `verifyPeer`
 */
export async function connect(options: ConnectOptions): Promise<Link> {
  checkConnectOptions(options);
  const { host, port, signal, timeoutMs = Infinity } = options;
  signal?.throwIfAborted();
  const trust = new Trust(options);
  const deadline = new Deadline(signal, timeoutMs);
  try {
    const { qlogDirectory } = options;
    if (qlogDirectory !== undefined) await deadline.limit(prepareQlogDirectory(qlogDirectory));
    const families = familiesOf(options);
    const family = families.length === 1 ? families[0] : options.family;
    const resolving = new AbortController();
    const found = await deadline.limit(
      resolveHost(host, { family, names: options.resolve, signal: resolving.signal }),
      undefined,
      () => resolving.abort(),
    );
    const wanted = families.filter((one) => found.some((address) => address.family === one));
    const endpoint = await deadline.limit(bindConnecting(options, wanted), (late) => late.close());
    const paths: Path[] = [];
    for (const { address, family: ofAddress } of found) {
      const socket = endpoint.sockets.find((one) => one.family === ofAddress);
      if (socket !== undefined) paths.push({ address, port, socket: socket.index });
    }
    const attempt = Attempt.start(endpoint, trust, paths, options);
    const { localAddress, localPort, cross = true } = options;
    const remotes = cross ? found.filter(({ address }) => !isLocalAddress(address)) : [];
    const attemptOptions = { ...attempt.parts, remotes, port, localAddress };
    const crossing =
      remotes.length > 0 && localPort === undefined ? Crossing.start(attemptOptions) : undefined;
    const slots = remotes.length > 0 ? TimedPunch.start(attemptOptions) : undefined;
    try {
      return await deadline.limit(attempt.link, undefined, () => attempt.giveUp());
    } finally {
      crossing?.close();
      slots?.close();
    }
  } finally {
    deadline.end();
  }
}

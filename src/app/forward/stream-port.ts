/**
 * Opens the listening TCP ports and Unix sockets of forwards.
 *
 * An empty host means loopback, in both address families if the machine has them. `*` means every
 * interface.
 */
import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget } from "../../link/forward-records.ts";
import { MAX_SOCKET_PATH_BYTES, socketPathError } from "../../platform/socket-path.ts";

/** An open listening port. */
export interface OpenPort {
  /** The bound address. It contains the port that the system chose for port 0. */
  readonly address: Address;
  /** Stops accepting connections. Existing connections continue. */
  close(): void;
}

/** Size of the accept queue. Bursts of a few hundred connections are common. */
const BACKLOG_CONNECTIONS = 1024;

/**
 * Listens on `bind`.
 *
 * @param onConnection takes ownership of each socket
 * @throws SrudpError ERR_FORWARD_BIND
 */
export async function openStreamPort(
  bind: Address,
  onConnection: (socket: Socket) => void,
): Promise<OpenPort> {
  const servers: Server[] = [];
  const close = (): void => {
    for (const server of servers) server.close();
  };
  try {
    if (bind.kind === "unix") {
      const tooLong = socketPathError(bind.path);
      if (tooLong !== undefined) throw tooLong;
      servers.push(await listenOnPath(bind.path, onConnection));
      return { address: bind, close };
    }
    let { port } = bind;
    for (const [index, host] of hostsOf(bind.host).entries()) {
      try {
        const server = await listen({ host, port, ipv6Only: host.includes(":") }, onConnection);
        servers.push(server);
        port = (server.address() as { port: number }).port;
      } catch (error) {
        // The second address family is optional. If its port is taken, however, clients that try
        // that family first would reach another program.
        const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (index === 0 || (isTaken && bind.port !== 0)) throw error;
      }
    }
    return { address: { ...bind, port }, close };
  } catch (error) {
    close();
    throw bindError(bind, error as NodeJS.ErrnoException);
  }
}

/** The error that reports why binding to `bind` failed. */
export function bindError(bind: Address, error: NodeJS.ErrnoException): SrudpError {
  const reason = REASONS[error.code ?? ""] ?? error.code ?? error.message;
  return new SrudpError("ERR_FORWARD_BIND", `${formatTarget(bind)} (${reason})`, error);
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "EACCES: not permitted to this user",
  EADDRINUSE: "EADDRINUSE: it is taken",
  EADDRNOTAVAIL: "EADDRNOTAVAIL: no address of this machine",
  ENAMETOOLONG: `ENAMETOOLONG: a socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes`,
  ENOENT: "ENOENT: no such folder",
  ENOTFOUND: "ENOTFOUND: no host of that name",
};

/** The addresses that a bind address expands to. */
export function hostsOf(host: string): string[] {
  if (host === "" || host.toLowerCase() === "localhost") return ["127.0.0.1", "::1"];
  return host === "*" ? ["0.0.0.0", "::"] : [host];
}

function listen(where: ListenOptions, onConnection: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      // The client may reset the connection before another error listener is added.
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG_CONNECTIONS }, () => {
      server.off("error", reject);
      // An error of one connection, such as EMFILE, must not end the others.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

/** Listens on a Unix socket that only the current user may connect to. */
async function listenOnPath(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const once = (): Promise<Server> => {
    // listen() creates the file synchronously, so no other code runs under this umask.
    const before = process.umask(0o177);
    try {
      return listen({ path }, onConnection);
    } finally {
      process.umask(before);
    }
  };
  try {
    return await once();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A path that was typed by mistake may name a regular file, which must not be deleted.
    const mayBeDead = code === "EADDRINUSE" && (await lstat(path)).isSocket();
    if (!mayBeDead || (await isAlive(path))) throw error;
    // A process that was killed left this socket behind.
    await unlink(path);
    return once();
  }
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

/**
 * A TCP port or a Unix socket that is listened on, for forwards.
 *
 * Without a host it is the loopback, of both families where the machine has them; `*` is every interface.
 */
import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget } from "../../link/forward-records.ts";
import { MAX_SOCKET_PATH_BYTES, socketPathError } from "../../platform/socket-path.ts";

/** What is listened on. */
export interface OpenPort {
  /** As it came out: with the port that was found for 0. */
  readonly address: Address;
  /** Takes no more connections; those that are there go on. */
  close(): void;
}

/** Connections that wait to be accepted: a burst of a few hundred is nothing unusual. */
const BACKLOG_CONNECTIONS = 1024;

/**
 * Listens on `bind`.
 *
 * @param onConnection takes each socket over
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
        // The second family is a welcome extra that a machine may lack; but clients that try it first must not
        // find another program there.
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

/** Why `bind` cannot be listened on. */
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

/** The addresses that a bind address stands for. */
export function hostsOf(host: string): string[] {
  if (host === "" || host.toLowerCase() === "localhost") return ["127.0.0.1", "::1"];
  return host === "*" ? ["0.0.0.0", "::"] : [host];
}

function listen(where: ListenOptions, onConnection: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      // Whoever comes may break off before anybody listens.
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG_CONNECTIONS }, () => {
      server.off("error", reject);
      // What goes wrong with one connection (too many descriptors) ends none of the others.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

/** A socket file that only its user may connect to. */
async function listenOnPath(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const once = (): Promise<Server> => {
    // The file is made within listen(), and nothing else runs before the mask is back.
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
    // Whoever typed a file's name by mistake keeps the file.
    const mayBeDead = code === "EADDRINUSE" && (await lstat(path)).isSocket();
    if (!mayBeDead || (await isAlive(path))) throw error;
    // Left behind by a process that was killed.
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

/**
 * Paths of Unix sockets. The system limits their length, and Node silently truncates a longer path.
 */

/** `sun_path` without its terminating zero. */
export const MAX_SOCKET_PATH_BYTES: number = process.platform === "darwin" ? 103 : 107;

/** Why `path` is not valid for a socket, as a system error; undefined if it is valid. */
export function socketPathError(path: string): NodeJS.ErrnoException | undefined {
  const length = Buffer.byteLength(path);
  if (length <= MAX_SOCKET_PATH_BYTES) return undefined;
  const message = `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes, this one has ${length}`;
  return Object.assign(new Error(message), { code: "ENAMETOOLONG" });
}

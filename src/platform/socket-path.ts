/** Paths of Unix sockets: the system's field for them is short, and Node cuts a longer path off without a word. */

/** `sun_path` without its terminating zero. */
export const MAX_SOCKET_PATH_BYTES: number = process.platform === "darwin" ? 103 : 107;

/** Why `path` can be no socket's, as an error of the system; undefined when it can. */
export function socketPathError(path: string): NodeJS.ErrnoException | undefined {
  const length = Buffer.byteLength(path);
  if (length <= MAX_SOCKET_PATH_BYTES) return undefined;
  const message = `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes, this one has ${length}`;
  return Object.assign(new Error(message), { code: "ENAMETOOLONG" });
}

/**
 * The control sockets of one user's running processes. Each process has a Unix socket, named after
 * its process ID, in a folder that no other user can write to.
 *
 * The name of the folder is predictable, so another user may have created it first. The listening
 * process and the connecting command therefore both check its owner and mode before they use it.
 */
import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { SrudpError } from "../../base/errors.ts";
import {
  ACCESS_BY_OTHERS,
  ensurePrivateFolder,
  isOpenTo,
  isOwnedByUser,
  quotePath,
  WRITE_BY_OTHERS,
} from "../../platform/private-file.ts";

const SOCKET_NAME = /^(\d{1,10})\.sock$/;
/**
 * `sun_path` holds 108 bytes on Linux and 104 on macOS and the BSDs, including the terminating
 * zero.
 */
const MAX_SOCKET_PATH_BYTES = process.platform === "linux" ? 107 : 103;

/** The socket of a process that is running, or that was killed. */
export interface ControlSocket {
  readonly pid: number;
  readonly path: string;
}

/** `$XDG_RUNTIME_DIR/srudp`, or a folder of the current user in the system's temporary folder. */
export function controlFolder(environment: NodeJS.ProcessEnv): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, "srudp");
  return join(tmpdir(), `srudp-${process.getuid?.() ?? "user"}`);
}

/**
 * The path of a process's socket. Creates the folder if necessary and checks that it is private.
 *
 * @throws SrudpError ERR_KEY_FILE when the folder cannot be created, ERR_CONTROL_FOLDER when the
 * folder or the path cannot be used
 */
export async function controlPath(folder: string, pid: number): Promise<string> {
  await ensurePrivateFolder(folder);
  await checkFolder(folder);
  const path = join(folder, `${pid}.sock`);
  checkLength(draftPath(path));
  return path;
}

/** The temporary path at which a socket is bound. */
export function draftPath(path: string): string {
  return `${path}.new`;
}

/**
 * The sockets in the folder, in the order of their process IDs. Empty if the folder does not exist.
 *
 * @throws SrudpError ERR_CONTROL_FOLDER when the folder, or a socket in it, belongs to another user
 * or is open to others
 */
export async function controlSockets(folder: string): Promise<ControlSocket[]> {
  if (!(await checkFolder(folder))) return [];
  const sockets: ControlSocket[] = [];
  for (const name of await readdir(folder)) {
    const pid = SOCKET_NAME.exec(name)?.[1];
    const path = join(folder, name);
    if (pid !== undefined && (await checkSocket(path))) sockets.push({ pid: Number(pid), path });
  }
  return sockets.sort((one, other) => one.pid - other.pid);
}

/** @returns whether the folder exists */
async function checkFolder(folder: string): Promise<boolean> {
  const status = await statusOf(folder);
  if (status === undefined) return false;
  // The owner of a symbolic link could change its target after this check.
  if (!status.isDirectory()) throw untrusted(folder, "is not a folder");
  if (!isOwnedByUser(status)) throw untrusted(folder, "belongs to another user");
  if (isOpenTo(status, WRITE_BY_OTHERS)) throw untrusted(folder, "can be written by others");
  return true;
}

/** @returns whether the socket still exists */
async function checkSocket(path: string): Promise<boolean> {
  const status = await statusOf(path);
  if (status === undefined) return false;
  if (!status.isSocket()) throw untrusted(path, "is not a socket");
  if (!isOwnedByUser(status)) throw untrusted(path, "belongs to another user");
  if (isOpenTo(status, ACCESS_BY_OTHERS)) throw untrusted(path, "is open to other users");
  checkLength(path);
  return true;
}

/** The system would truncate a longer path and so reach another socket. */
function checkLength(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw untrusted(
      path,
      `is longer than the ${MAX_SOCKET_PATH_BYTES} bytes that a Unix socket's path can have`,
    );
  }
}

async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw untrusted(path, `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`);
  }
}

function untrusted(path: string, what: string): SrudpError {
  return new SrudpError("ERR_CONTROL_FOLDER", `${quotePath(path)} ${what}`);
}

/**
 * The control sockets of one user's running processes: a Unix socket each, named after the process ID, in a folder
 * that no other user can write to.
 *
 * The folder's name can be guessed, so another user may have made it first. Both sides therefore check owner and
 * mode before they use it: the process that listens there, and the command that connects.
 */
import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { SrudpError } from "../../base/errors.ts";
import {
  ANYTHING_BY_OTHERS,
  ensurePrivateFolder,
  isOpenTo,
  isOwnedByUser,
  quotePath,
  WRITE_BY_OTHERS,
} from "../../platform/private-file.ts";

const SOCKET_NAME = /^(\d{1,10})\.sock$/;
/** `sun_path` holds 108 bytes on Linux and 104 on macOS and the BSDs, with a zero behind the path. */
const MAX_SOCKET_PATH_BYTES = process.platform === "linux" ? 107 : 103;

/** The socket of a process that runs, or that was killed and left it behind. */
export interface ControlSocket {
  readonly pid: number;
  readonly path: string;
}

/** `$XDG_RUNTIME_DIR/srudp`, or a folder of this user's under the system's temporary one. */
export function controlFolder(environment: NodeJS.ProcessEnv): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, "srudp");
  return join(tmpdir(), `srudp-${process.getuid?.() ?? "user"}`);
}

/**
 * The path of a process's socket, in a folder that exists and is private.
 *
 * @throws SrudpError ERR_KEY_FILE when the folder cannot be made, ERR_CONTROL_FOLDER when it, or the path, cannot be used
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
 * The sockets in the folder, in the order of the process numbers; none where there is no folder.
 *
 * @throws SrudpError ERR_CONTROL_FOLDER when the folder, or a socket in it, belongs to another user or is open to others
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

/** @returns whether there is one */
async function checkFolder(folder: string): Promise<boolean> {
  const status = await statusOf(folder);
  if (status === undefined) return false;
  // A symbolic link of another user's could be turned elsewhere after this look.
  if (!status.isDirectory()) throw untrusted(folder, "is not a folder");
  if (!isOwnedByUser(status)) throw untrusted(folder, "belongs to another user");
  if (isOpenTo(status, WRITE_BY_OTHERS)) throw untrusted(folder, "can be written by others");
  return true;
}

/** @returns whether it is still there */
async function checkSocket(path: string): Promise<boolean> {
  const status = await statusOf(path);
  if (status === undefined) return false;
  if (!status.isSocket()) throw untrusted(path, "is not a socket");
  if (!isOwnedByUser(status)) throw untrusted(path, "belongs to another user");
  if (isOpenTo(status, ANYTHING_BY_OTHERS)) throw untrusted(path, "is open to other users");
  checkLength(path);
  return true;
}

/** The system would cut a longer path, and so reach another socket. */
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

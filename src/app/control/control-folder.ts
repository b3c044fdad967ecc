/**
 * Where the running processes of one user can be found and spoken to: a Unix socket each, named after the process,
 * in a folder that nobody else can look into.
 */
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { ensurePrivateFolder } from "../../net/private-file.ts";

const SOCKET_NAME = /^(\d+)\.sock$/;

/** `$XDG_RUNTIME_DIR/srudp`, or a folder of this user's under the system's temporary one. */
export function controlFolder(environment: NodeJS.ProcessEnv): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, "srudp");
  return join(tmpdir(), `srudp-${process.getuid?.() ?? "user"}`);
}

/** The path of a process's socket, in a folder that is there and private. @throws SrudpError ERR_KEY_FILE */
export async function controlPath(folder: string, pid: number): Promise<string> {
  await ensurePrivateFolder(folder);
  return join(folder, `${pid}.sock`);
}

/** The sockets that are there, of processes that live and of those that were killed. */
export async function controlPaths(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => SOCKET_NAME.test(name)).map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

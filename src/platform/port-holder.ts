/**
 * Finds the process that holds a port, as far as the current user may see it. Linux only, and used
 * only after a bind has failed.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";

// Fields of a line of /proc/net/udp and tcp.  // proc_pid_net(5)
const LOCAL_FIELD = 1;
const STATE_FIELD = 3;
const UID_FIELD = 7;
const INODE_FIELD = 9;
const TCP_LISTEN = "0A";
/** Words of a command line that may be shown. Other words may be codes. */
const COMMANDS: ReadonlySet<string> = new Set([
  "listen",
  "connect",
  "forward",
  "bench",
  "doctor",
  "rendezvous",
]);

/**
 * The holder of a port as text, for example `process 4711 (srudp listen)` or `a process of user
 * 33`.
 *
 * @param root the folder of the kernel's files, for tests
 * @returns undefined if the system does not tell
 */
export async function holderOfPort(
  protocol: "udp" | "tcp",
  port: number,
  root = "/proc",
): Promise<string | undefined> {
  const state = protocol === "tcp" ? TCP_LISTEN : undefined;
  for (const table of [protocol, `${protocol}6`]) {
    const socket = await socketAt(`${root}/net/${table}`, port, state);
    if (socket === undefined) continue;
    const processId = await ownerOfSocket(root, socket.inode);
    if (processId === undefined) return `a process of user ${socket.uid}`;
    const name = await nameOfProcess(root, processId);
    return name === undefined ? `process ${processId}` : `process ${processId} (${name})`;
  }
  return undefined;
}

async function socketAt(
  table: string,
  port: number,
  state: string | undefined,
): Promise<{ uid: string; inode: string } | undefined> {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of (await textOf(table)).split("\n")) {
    const fields = line.trim().split(/\s+/);
    const [uid, inode] = [fields[UID_FIELD], fields[INODE_FIELD]];
    if (uid === undefined || inode === undefined || fields[LOCAL_FIELD]?.endsWith(ending) !== true) continue;
    if (state === undefined || fields[STATE_FIELD] === state) return { uid, inode };
  }
  return undefined;
}

/** The first process that has the socket open; undefined if it belongs to another user. */
async function ownerOfSocket(root: string, inode: string): Promise<string | undefined> {
  for (const processId of await entriesOf(root)) {
    if (!/^\d+$/.test(processId)) continue;
    const folder = `${root}/${processId}/fd`;
    for (const descriptor of await entriesOf(folder)) {
      const target = await readlink(`${folder}/${descriptor}`).catch(() => "");
      if (target === `socket:[${inode}]`) return processId;
    }
  }
  return undefined;
}

/**
 * The name of the program without its arguments, which are private. For srudp, also its command.
 */
async function nameOfProcess(root: string, processId: string): Promise<string | undefined> {
  const words = (await textOf(`${root}/${processId}/cmdline`)).split("\0");
  const at = words.findIndex((word) => /^srudp(?:\.js)?$/.test(basename(word.split(" ", 1)[0]!)));
  if (at >= 0) {
    const command = words.slice(at + 1).find((word) => COMMANDS.has(word));
    return command === undefined ? "srudp" : `srudp ${command}`;
  }
  const name = (await textOf(`${root}/${processId}/comm`)).trim().replace(/[^\w.:/-]/g, "?");
  return name === "" ? undefined : name;
}

async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

async function entriesOf(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

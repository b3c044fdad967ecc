/** A PostgreSQL server of one's own on the loopback, with nothing in it. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./forwarding.ts";
import { temporaryFolder } from "./srudp-process.ts";

export interface Postgres {
  readonly port: number;
  /** Its one user, who needs no password. */
  readonly user: string;
  readonly process: ChildProcess;
}

const USER = "tester";
/** The server refuses to run as root: then it runs as nobody. */
const NOBODY = 65_534;
/** Debian puts none of the server's programs on the path. */
const DEBIAN_FOLDER = "/usr/lib/postgresql";

/** Starts a server that takes connections on `port`. */
export async function startPostgres(): Promise<Postgres> {
  const port = await freePort();
  // The user "nobody" may not read the temporary folder itself.
  const folder = temporaryFolder();
  const data = join(folder, "data");
  mkdirSync(data);
  const isRoot = userInfo().uid === 0;
  if (isRoot) for (const path of [folder, data]) chownSync(path, NOBODY, NOBODY);
  const as = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const words = ["-D", data, "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
  const made = spawnSync(program("initdb")!, words, { ...as, cwd: folder, encoding: "utf8" });
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr || made.error}`);
  const settings = ["unix_socket_directories=", "listen_addresses=127.0.0.1", "fsync=off"];
  const process = await startDaemon(
    program("postgres")!,
    ["-D", data, "-p", String(port), ...settings.flatMap((one) => ["-c", one])],
    port,
    { ...as, cwd: folder },
  );
  return { port, user: USER, process };
}

/** Whether server and client are here; says so where they are not. */
export function hasPostgres(): boolean {
  const isHere = ["initdb", "postgres", "psql"].every((name) => program(name) !== undefined);
  if (!isHere) console.log("skipped: postgresql not installed");
  return isHere;
}

function program(name: string): string | undefined {
  const found = spawnSync("which", [name], { encoding: "utf8" });
  if (found.status === 0) return found.stdout.trim();
  if (!existsSync(DEBIAN_FOLDER)) return undefined;
  const paths = readdirSync(DEBIAN_FOLDER).map((version) => join(DEBIAN_FOLDER, version, "bin", name));
  return paths.find((path) => existsSync(path));
}

/** An OpenSSH server of one's own, and the words with which its client gets in. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./forwarding.ts";
import { temporaryFolder } from "./srudp-process.ts";

export interface Sshd {
  readonly port: number;
  /** Options for `ssh`, all but port and host. */
  readonly words: readonly string[];
  readonly process: ChildProcess;
}

/** @param address where it listens; `launcher` puts words before its command line */
export async function startSshd(
  address: string = "127.0.0.1",
  launcher: readonly string[] = [],
): Promise<Sshd> {
  const port = await freePort();
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder, name);
  for (const name of ["host", "user"])
    spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(name)]);
  writeFileSync(file("authorized"), readFileSync(file("user.pub")), { mode: 0o600 });
  const lines = [
    `Port ${port}`,
    `ListenAddress ${address}`,
    `HostKey ${file("host")}`,
    `AuthorizedKeysFile ${file("authorized")}`,
    "StrictModes no",
    "PidFile none",
    "UsePAM no",
  ];
  writeFileSync(file("config"), `${lines.join("\n")}\n`);
  mkdirSync("/run/sshd", { recursive: true });
  const process = await startDaemon("/usr/sbin/sshd", ["-D", "-f", file("config")], port, { launcher });
  const words = [
    ...["-F", "none", "-i", file("user"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"],
    ...["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-l", userInfo().username],
  ];
  return { port, words, process };
}

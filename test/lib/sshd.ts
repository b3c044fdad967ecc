/** An OpenSSH server of one's own on the loopback, and the words with which its client gets in. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { within } from "./deadline.ts";
import { freePort } from "./forwarding.ts";
import { temporaryFolder } from "./srudp-process.ts";

export interface Sshd {
  readonly port: number;
  /** Options for `ssh`, all but port and host. */
  readonly words: readonly string[];
  readonly process: ChildProcess;
}

/** Whether the programs are here; says so where they are not. */
export function has(...programs: string[]): boolean {
  const missing = programs.filter((program) => spawnSync("which", [program]).status !== 0);
  if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
  return missing.length === 0;
}

/** Starts a server and waits until it takes connections on `port`. */
export async function startDaemon(
  command: string,
  words: readonly string[],
  port: number,
): Promise<ChildProcess> {
  const child = spawn(command, words, { stdio: "ignore" });
  const isUp = async (): Promise<void> => {
    for (;;) {
      const socket = connect(port, "127.0.0.1");
      const isThere = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      socket.destroy();
      if (isThere) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await within(isUp(), 10_000, () => `${command} does not listen on ${port}`);
  return child;
}

export async function startSshd(): Promise<Sshd> {
  const port = await freePort();
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder, name);
  for (const name of ["host", "user"])
    spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(name)]);
  writeFileSync(file("authorized"), readFileSync(file("user.pub")), { mode: 0o600 });
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${file("host")}`,
    `AuthorizedKeysFile ${file("authorized")}`,
    "StrictModes no",
    "PidFile none",
    "UsePAM no",
  ];
  writeFileSync(file("config"), `${lines.join("\n")}\n`);
  mkdirSync("/run/sshd", { recursive: true });
  const process = await startDaemon("/usr/sbin/sshd", ["-D", "-f", file("config")], port);
  const words = [
    ...["-F", "none", "-i", file("user"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"],
    ...["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-l", userInfo().username],
  ];
  return { port, words, process };
}

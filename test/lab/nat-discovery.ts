/**
 * A second opinion: what coturn's own discovery (RFC 5780) says of a NAT, by its mapping and its filtering.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../lib/deadline.ts";
import { type Internet, SERVER_ADDRESS, SERVER_SECOND_ADDRESS } from "./internet.ts";
import type { Namespace } from "./namespaces.ts";
import type { Dependence } from "./nat-types.ts";

/** The programs that this needs, for `whyNoLab`. */
export const COTURN_TOOLS: Readonly<Record<string, string>> = {
  turnserver: "coturn",
  turnutils_natdiscovery: "coturn",
};

const READY_MS = 15_000;
const DISCOVERY_MS = 60_000;

/** Of the user that the TURN server of the lab knows. */
export const TURN_USER = "lab";
export const TURN_PASSWORD = "lab-password";

export interface Coturn {
  stop(): Promise<void>;
}

/** Starts coturn on the Internet's server, STUN and TURN on 3478 of both its addresses, and waits until it serves. */
export async function startCoturn({ server }: Internet): Promise<Coturn> {
  const folder = mkdtempSync(join(tmpdir(), "srudp-coturn-"));
  const words = [
    "-n",
    "-L",
    SERVER_ADDRESS,
    "-L",
    SERVER_SECOND_ADDRESS,
    "-p",
    "3478",
    "--no-tls",
    "--no-dtls",
    "--no-cli",
  ];
  const account = ["-a", "-u", `${TURN_USER}:${TURN_PASSWORD}`, "-r", "lab.example"];
  const files = ["--log-file", "stdout", "--pidfile", join(folder, "pid"), "--userdb", join(folder, "users")];
  const [program, ...launch] = server.launcher;
  const child = spawn(program!, [...launch, "turnserver", ...words, ...account, ...files], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let said = "";
  const isReady = new Promise<void>((resolve, reject) => {
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("Total General servers")) resolve();
    });
    child.once("exit", () => reject(new Error(`turnserver ended:\n${said}`)));
  });
  await within(isReady, READY_MS, () => `turnserver does not start:\n${said}`);
  return {
    stop: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** How coturn sees the NAT in front of `host`, or `undefined` where no answer came at all. */
export async function discover(
  host: Namespace,
): Promise<{ readonly mapping: Dependence; readonly filtering: Dependence } | undefined> {
  const [mapping, filtering] = await Promise.all([run(host, "-m"), run(host, "-f")]);
  if (!`${mapping}${filtering}`.includes("RFC 5780 response")) return undefined;
  return { mapping: dependenceIn(mapping, "Mapping"), filtering: dependenceIn(filtering, "Filtering") };
}

async function run(host: Namespace, flag: "-m" | "-f"): Promise<string> {
  const [program, ...launch] = host.launcher;
  const child = spawn(program!, [...launch, "turnutils_natdiscovery", flag, SERVER_ADDRESS], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  await within(once(child, "close"), DISCOVERY_MS, () => `turnutils_natdiscovery ${flag}:\n${said}`);
  return said;
}

function dependenceIn(said: string, what: "Mapping" | "Filtering"): Dependence {
  const word = new RegExp(`NAT with (.*) ${what}`).exec(said)?.[1];
  const dependence = DEPENDENCES[word ?? ""];
  if (dependence === undefined) throw new Error(`no verdict on ${what} in:\n${said}`);
  return dependence;
}

const DEPENDENCES: Readonly<Record<string, Dependence>> = {
  "Endpoint Independent": "independent",
  "Address Dependent": "address",
  "Address and Port Dependent": "address and port",
};

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const isOver = once(child, "exit");
  child.kill("SIGKILL");
  await isOver;
}

/**
 * Network namespaces of this process alone: made, wired, commanded, and gone with it.
 *
 * Every name begins with the process's number, so that labs run side by side, and so that the next lab can
 * sweep away what a killed one left. Needs root and Linux; `whyNoLab` says what is missing.
 */
import { type SpawnSyncOptionsWithStringEncoding, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const NAMESPACE_FOLDER = "/run/netns";
const OUR_NAME = /^sl(\d+)-/;

/** What a lab runs, and the Debian package that has it. */
const TOOLS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  tc: "iproute2",
  nft: "nftables",
  conntrack: "conntrack",
  sysctl: "procps",
};

const alive = new Set<Namespace>();
let isPrepared = false;

/** Why no lab can run here, as a sentence, or `undefined` where one can. @param tools further programs needed */
export function whyNoLab(tools: Readonly<Record<string, string>> = {}): string | undefined {
  if (process.platform !== "linux") return "the NAT lab needs Linux";
  if (process.getuid?.() !== 0) return "the NAT lab needs root, for network namespaces";
  for (const [tool, source] of Object.entries({ ...TOOLS, ...tools })) {
    const found = spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
    if (!found) return `the NAT lab needs the program ${tool} (Debian: apt-get install ${source})`;
  }
  const trial = `sl${process.pid}-trial`;
  const made = spawnSync("ip", ["netns", "add", trial], { encoding: "utf8" });
  if (made.status !== 0) return `the NAT lab cannot make network namespaces here: ${made.stderr.trim()}`;
  const nft = spawnSync("ip", ["netns", "exec", trial, "nft", "-f", "-"], {
    input: "table ip t {\n chain c { type nat hook postrouting priority srcnat; masquerade\n }\n}\n",
    encoding: "utf8",
  });
  spawnSync("ip", ["netns", "del", trial]);
  return nft.status === 0 ? undefined : `the NAT lab needs nftables in the kernel: ${nft.stderr.trim()}`;
}

/** One namespace, with its loopback up. */
export class Namespace {
  readonly name: string;

  /** @param label unique within this process */
  constructor(label: string) {
    prepare();
    this.name = `sl${process.pid}-${label}`;
    command(["ip", "netns", "add", this.name]);
    alive.add(this);
    this.ip("link set dev lo up");
    this.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0");
  }

  /** The words before a command line that make it run in here; the process number stays that of the command. */
  get launcher(): readonly string[] {
    return ["ip", "netns", "exec", this.name];
  }

  /** Runs a program to its end. @returns its stdout; throws with its stderr when it fails */
  run(words: readonly string[], input?: string): string {
    return command([...this.launcher, ...words], input);
  }

  /** As `run`, for what may fail because there is nothing to do. */
  attempt(words: readonly string[]): void {
    spawnSync("ip", ["netns", "exec", this.name, ...words], { stdio: "ignore" });
  }

  /** Commands of `ip`, one a string. */
  ip(...lines: readonly string[]): void {
    command(["ip", "-n", this.name, "-batch", "-"], lines.join("\n"));
  }

  /** Commands of `nft`; all of them or none. */
  nft(rules: string): void {
    this.run(["nft", "-f", "-"], rules);
  }

  sysctl(...settings: readonly string[]): void {
    this.run(["sysctl", "-qw", ...settings]);
  }

  /** Lets it pass on what is not for itself, without asking whether the way back is the same. */
  route(): void {
    this.sysctl(
      "net.ipv4.ip_forward=1",
      "net.ipv6.conf.all.forwarding=1",
      "net.ipv4.conf.all.rp_filter=0",
      "net.ipv4.conf.default.rp_filter=0",
    );
  }

  /** Ends what runs in here and takes it away. */
  remove(): void {
    if (!alive.delete(this)) return;
    removeNamed(this.name);
  }
}

/** Where one end of a wire goes: into which namespace, under which name, with which addresses (`A/BITS`). */
export interface WireEnd {
  readonly namespace: Namespace;
  readonly device: string;
  readonly addresses?: readonly string[];
}

/** A veth pair of MTU 1500 between two namespaces, both ends up. */
export function wire(one: WireEnd, other: WireEnd): void {
  command(
    ["ip", "link", "add", one.device, "netns", one.namespace.name, "type", "veth", "peer"].concat([
      "name",
      other.device,
      "netns",
      other.namespace.name,
    ]),
  );
  for (const { namespace, device, addresses = [] } of [one, other]) {
    namespace.ip(...addresses.map((each) => addressLine(each, device)), `link set dev ${device} up`);
  }
}

/** The `ip` command that gives a device an address. */
export function addressLine(address: string, device: string): string {
  return `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`;
}

/** Takes every namespace of this process away. */
export function removeAllNamespaces(): void {
  for (const one of [...alive]) one.remove();
}

/** Once a process: sweeps up after labs that were killed, and sees to it that nobody has to after this one. */
function prepare(): void {
  if (isPrepared) return;
  isPrepared = true;
  for (const name of existingNames()) {
    const owner = OUR_NAME.exec(name)?.[1];
    if (owner !== undefined && !isRunning(Number(owner))) removeNamed(name);
  }
  process.once("exit", removeAllNamespaces);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      removeAllNamespaces();
      process.kill(process.pid, signal);
    });
  }
}

function existingNames(): readonly string[] {
  try {
    return readdirSync(NAMESPACE_FOLDER);
  } catch {
    return [];
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function removeNamed(name: string): void {
  const inside = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" }).stdout ?? "";
  for (const pid of inside.split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It ended by itself meanwhile.
    }
  }
  spawnSync("ip", ["netns", "del", name]);
}

function command(words: readonly string[], input?: string): string {
  const options: SpawnSyncOptionsWithStringEncoding = {
    encoding: "utf8",
    ...(input !== undefined && { input }),
  };
  const { status, stdout, stderr, error } = spawnSync(words[0]!, words.slice(1), options);
  if (status === 0) return stdout;
  throw new Error(
    `${words.join(" ")}: ${error?.message ?? stderr.trim()}${input === undefined ? "" : `\n${input}`}`,
  );
}

/**
 * `npm run attack:service -- [--seconds 600] [--calm 15] [--rate 2000] [--json]`: a service under attack.
 *
 * One `listen -k --expose …` and one `rendezvous` in a namespace. From a second one, an honest peer sends 100 Mbit/s
 * through a forward, uses 19 further ones, and newcomers make links. From a third one, four malicious peers that
 * hold the secret and four clients that hold nothing attack both, each with `--rate` packets a second, niced.
 * Compared are the seconds before the attack and the attack itself. Exits 1 when a goal is missed. Needs root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encodeSecret } from "../../src/wire/key-text.ts";
import { Namespace, removeAllNamespaces, whyNoLab, wire } from "../lab/namespaces.ts";
import { pause } from "../lib/deadline.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import {
  FIRST_FORWARD_PORT,
  FORWARDS,
  PORTS,
  ROLES,
  type RoleReport,
  SECRET,
} from "./attack-service-roles.ts";

/** What an attack may cost: of the transfer's rate, in time to link, in memory. */
const GOALS = { transferShare: 0.9, linkP95Ms: 1000, grownMb: 50 } as const;
const ATTACKERS = 4;
const MBIT = 100;

interface Plan {
  readonly seconds: number;
  readonly calmSeconds: number;
  readonly packetsPerSecond: number;
}

export interface AttackFigures {
  /** Mbit/s before and during, and what share that is. */
  readonly calmMbit: number;
  readonly attackMbit: number;
  readonly transferShare: number;
  readonly newcomers: number;
  readonly calmLinkP95Ms: number;
  readonly linkP95Ms: number;
  readonly echoes: number;
  readonly echoP95Ms: number;
  /** Most resident memory above what it was before the attack. */
  readonly listenerGrownMb: number;
  readonly rendezvousGrownMb: number;
  readonly packetsPerSecond: number;
  /** What ended or went wrong, if anything. */
  readonly broken: readonly string[];
}

/** The processes of one run, and what they have reported. */
class Scene {
  readonly #children: ChildProcess[] = [];
  readonly received: { bytes: number; atMs: number }[] = [];
  readonly linked: { tookMs: number; atMs: number }[] = [];
  readonly echoed: { tookMs: number; atMs: number }[] = [];
  readonly sent: Map<number, number> = new Map();
  readonly broken: string[] = [];

  /** A role in a namespace; resolves when it is at work. */
  start(where: Namespace, role: string, words: readonly string[], isNiced = false): Promise<void> {
    const main = fileURLToPath(import.meta.url);
    const line = [...where.launcher, ...(isNiced ? ["nice", "-n", "19"] : []), process.execPath, main];
    const child = spawn(line[0]!, [...line.slice(1), "--role", role, ...words], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const number = this.#children.push(child);
    return new Promise((resolve) => {
      child.on("message", (message) => {
        const report = message as RoleReport;
        if (report.kind === "ready") resolve();
        else if (report.kind === "received") this.received.push(report);
        else if (report.kind === "sent") this.sent.set(number, report.perSecond);
        else if (report.kind === "broken") this.broken.push(report.what);
        else this[report.kind].push({ tookMs: report.tookMs, atMs: performance.now() });
      });
      child.once("exit", () => this.broken.push(`the role ${role} has ended`));
    });
  }

  end(): void {
    for (const child of this.#children) {
      child.removeAllListeners();
      child.kill("SIGKILL");
    }
  }
}

async function runAttack({ seconds, calmSeconds, packetsPerSecond }: Plan): Promise<AttackFigures> {
  const scene = new Scene();
  try {
    const [service, client, attack] = [
      new Namespace("service"),
      new Namespace("client"),
      new Namespace("attack"),
    ];
    wire(
      { namespace: service, device: "client", addresses: ["10.77.1.1/24"] },
      { namespace: client, device: "service", addresses: ["10.77.1.2/24"] },
    );
    const own = Array.from({ length: 2 * ATTACKERS }, (_, n) => `10.77.2.${11 + n}/24`);
    wire(
      { namespace: service, device: "attack", addresses: ["10.77.2.1/24"] },
      { namespace: attack, device: "service", addresses: own },
    );
    const secretFile = join(temporaryFolder(), "secret");
    writeFileSync(secretFile, `${encodeSecret(SECRET)}\n`, { mode: 0o600 });
    const trust = ["--secret-file", secretFile];
    const exposed = [`127.0.0.1:${PORTS.echo}`, `127.0.0.1:${PORTS.sink}`, `127.0.0.1:${PORTS.udpEcho}/udp`];
    const silent = { stdin: "nothing", stdout: "nothing" } as const;
    const listener = SrudpProcess.start(
      [
        ...["listen", String(PORTS.listener), "-k", ...trust],
        ...exposed.flatMap((target) => ["--expose", target]),
        ...["--permit-listen", "0", "--permit-listen", "0/udp"],
      ],
      { ...silent, launcher: service.launcher },
    );
    const rendezvous = SrudpProcess.start(["rendezvous", "--port", String(PORTS.rendezvous)], {
      ...silent,
      launcher: service.launcher,
    });
    await Promise.all([
      listener.event("listening"),
      rendezvous.event("rendezvous"),
      scene.start(service, "targets", []),
    ]);
    const forwards = Array.from({ length: FORWARDS }, (_, n) => {
      const port = n === 0 ? PORTS.sink : PORTS.echo;
      return ["-L", `${FIRST_FORWARD_PORT + n}:127.0.0.1:${port}`];
    });
    const forwarder = SrudpProcess.start(
      ["forward", `10.77.1.1:${PORTS.listener}`, ...trust, ...forwards.flat()],
      { ...silent, launcher: client.launcher },
    );
    await forwarder.event("connected");
    for (const role of ["transfer", "forwards", "newcomers"])
      await scene.start(client, role, ["--server", "10.77.1.1", "--mbit", String(MBIT)]);
    await pause(3000);

    const calmFrom = mark(scene);
    await pause(calmSeconds * 1000);
    const calmTo = mark(scene);
    const processes = [listener, rendezvous] as const;
    const before = processes.map(residentMb);
    const most = [...before];
    await Promise.all(
      own.map((address, n) =>
        scene.start(
          attack,
          n < ATTACKERS ? "insider" : "outsider",
          ["--server", "10.77.2.1", "--address", address.split("/")[0]!, "--number", String(n + 1)].concat([
            "--rate",
            String(packetsPerSecond),
          ]),
          true,
        ),
      ),
    );
    await pause(1000);
    const attackFrom = mark(scene);
    for (const untilMs = performance.now() + seconds * 1000; performance.now() < untilMs; await pause(500)) {
      for (const [n, one] of processes.entries()) most[n] = Math.max(most[n]!, residentMb(one));
      if (scene.broken.length > 20) break;
    }
    const attackTo = mark(scene);
    const ended = [listener, rendezvous, forwarder]
      .filter(({ pid }) => residentOf(pid) === 0)
      .map(({ name }) => name);
    const faults = [listener, rendezvous, forwarder].flatMap(({ events }) =>
      events
        .filter((one) => one.event === "fault" || one.code === "ERR_INTERNAL")
        .map((one) => String(one.message)),
    );
    const calmMbit = mbit(scene, calmFrom, calmTo);
    const attackMbit = mbit(scene, attackFrom, attackTo);
    const times = (of: readonly { tookMs: number }[], from: number, to: number): number =>
      percentile95(of.slice(from, to).map(({ tookMs }) => tookMs));
    const sent = [...scene.sent.values()].reduce((sum, one) => sum + one, 0);
    return {
      calmMbit,
      attackMbit,
      transferShare: attackMbit / calmMbit,
      newcomers: attackTo.linked - attackFrom.linked,
      calmLinkP95Ms: times(scene.linked, calmFrom.linked, calmTo.linked),
      linkP95Ms: times(scene.linked, attackFrom.linked, attackTo.linked),
      echoes: attackTo.echoed - attackFrom.echoed,
      echoP95Ms: times(scene.echoed, attackFrom.echoed, attackTo.echoed),
      listenerGrownMb: most[0]! - before[0]!,
      rendezvousGrownMb: most[1]! - before[1]!,
      packetsPerSecond: sent,
      broken: [...scene.broken, ...ended.map((name) => `${name} has ended`), ...faults],
    };
  } finally {
    scene.end();
    await endAll();
    removeAllNamespaces();
  }
}

interface Mark {
  readonly received: number;
  readonly linked: number;
  readonly echoed: number;
}

function mark({ received, linked, echoed }: Scene): Mark {
  return { received: received.length - 1, linked: linked.length, echoed: echoed.length };
}

function mbit(scene: Scene, from: Mark, to: Mark): number {
  const [a, b] = [scene.received[from.received]!, scene.received[to.received]!];
  return ((b.bytes - a.bytes) * 8) / 1000 / (b.atMs - a.atMs);
}

function percentile95(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(0.95 * sorted.length) - 1)] ?? Number.NaN;
}

function residentMb({ pid }: SrudpProcess): number {
  return residentOf(pid) / 1e6;
}

/** 0 for a process that is gone. */
function residentOf(pid: number): number {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The goals that were missed. */
function missed(figures: AttackFigures): string[] {
  const lines: string[] = [...figures.broken];
  const { transferShare, linkP95Ms, listenerGrownMb, rendezvousGrownMb, newcomers } = figures;
  if (!(transferShare >= GOALS.transferShare))
    lines.push(`the transfer keeps less than ${GOALS.transferShare}`);
  if (!(linkP95Ms <= GOALS.linkP95Ms) || newcomers === 0)
    lines.push(`newcomers take more than ${GOALS.linkP95Ms} ms`);
  if (!(listenerGrownMb <= GOALS.grownMb)) lines.push(`the listener grew by more than ${GOALS.grownMb} MB`);
  if (!(rendezvousGrownMb <= GOALS.grownMb)) lines.push(`the server grew by more than ${GOALS.grownMb} MB`);
  return lines;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      role: { type: "string" },
      server: { type: "string", default: "" },
      address: { type: "string", default: "" },
      number: { type: "string", default: "0" },
      mbit: { type: "string", default: String(MBIT) },
      rate: { type: "string", default: "2000" },
      seconds: { type: "string", default: "600" },
      calm: { type: "string", default: "15" },
      json: { type: "boolean", default: false },
    },
  });
  const packetsPerSecond = Number(values.rate);
  if (values.role !== undefined) {
    const { server, address } = values;
    await ROLES[values.role]!({
      server,
      address,
      number: Number(values.number),
      packetsPerSecond,
      mbit: Number(values.mbit),
    });
    return;
  }
  const obstacle = whyNoLab();
  if (obstacle !== undefined) throw new Error(obstacle);
  const figures = await runAttack({
    seconds: Number(values.seconds),
    calmSeconds: Number(values.calm),
    packetsPerSecond,
  });
  const misses = missed(figures);
  if (values.json) process.stdout.write(`${JSON.stringify({ ...figures, missed: misses })}\n`);
  else {
    const { calmMbit, attackMbit, transferShare, newcomers, calmLinkP95Ms, linkP95Ms } = figures;
    const one = (value: number): string => value.toFixed(1);
    process.stdout.write(
      `${ATTACKERS} malicious peers and ${ATTACKERS} strangers, ${Math.round(figures.packetsPerSecond)} packets/s together, ${values.seconds} s\n` +
        `  transfer    ${one(calmMbit)} → ${one(attackMbit)} Mbit/s, ${one(100 * transferShare)} %\n` +
        `  newcomers   ${newcomers}, linked within ${one(calmLinkP95Ms)} → ${one(linkP95Ms)} ms (p95)\n` +
        `  forwards    ${figures.echoes} echoes, p95 ${one(figures.echoP95Ms)} ms\n` +
        `  memory      listener +${one(figures.listenerGrownMb)} MB, rendezvous +${one(figures.rendezvousGrownMb)} MB\n` +
        `  ${misses.length === 0 ? "all goals met" : `MISSED: ${misses.join("; ")}`}\n`,
    );
  }
  process.exitCode = misses.length === 0 ? 0 : 1;
}

await main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
});

/**
 * What processes under test must not leave behind: a long-lived command holds after its links what it held before them,
 * and a command that ended by itself, or in order on a signal, has ended all that it started.
 */
import { channel } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { pause } from "./deadline.ts";
import { type Leftover, marked } from "./marked-processes.ts";
import { grown, type Held } from "./resources.ts";

/** What is looked at of a process under test. */
interface Suspect {
  readonly name: string;
  readonly mark: string;
  readonly longLived: "listener" | "forward" | undefined;
  readonly heldBefore: Held | undefined;
  readonly hasEnded: boolean;
  readonly ended: Promise<number>;
  held(): Promise<Held | undefined>;
  areLinksAlive(): Promise<boolean>;
  kill(signal: NodeJS.Signals): void;
}

/** The peers' goodbyes cross, timers of a link run out, and programs that read nothing are let go. */
const SETTLE_MS = 8000;
const LOOK_INTERVAL_MS = 50;
/** An end in order takes a round trip, or a second where nobody answers. */
const TERM_MS = 1500;
/** A program that ignores SIGHUP is killed after five seconds. */
const PROGRAM_MS = 6500;
const SIGKILL_STATUS = 137;

/** Connections of the test's own, which would keep those of a forward alive. */
const ownSockets = new Set<WeakRef<Socket>>();
for (const name of ["net.client.socket", "net.server.socket"]) {
  channel(name).subscribe((message) => ownSockets.add(new WeakRef((message as { socket: Socket }).socket)));
}

/** Ends the processes, and looks at what they leave. @throws Error that names it */
export async function checkLeftovers(all: readonly Suspect[]): Promise<void> {
  for (const socket of ownSockets) socket.deref()?.destroy();
  ownSockets.clear();
  const problems: string[] = [];
  const running = all.filter(({ hasEnded }) => !hasEnded);
  const isChecked = ({ longLived, heldBefore }: Suspect, kind: string): boolean =>
    longLived === kind && heldBefore !== undefined;

  // With the link up: connections come and go over it.
  for (const one of running) if (isChecked(one, "forward")) problems.push(...(await growth(one, hasOneLink)));
  const listeners = running.filter((one) => isChecked(one, "listener"));
  await endInOrder(running.filter((one) => !listeners.includes(one)));
  for (const one of listeners) problems.push(...(await growth(one, hasNoLink)));
  await endInOrder(listeners);

  problems.push(...(await orphans(all)));
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

const hasOneLink = (held: Held): boolean => held.shownLinks === 1;
/** An attempt that its peer has given up stays for as long as a handshake may take. */
const hasNoLink = (held: Held): boolean => held.shownLinks === 0 && held["listener.halfOpen"] === 0;

/** What `one` holds more of than before, once it has settled; nothing where its links never came to rest. */
async function growth(one: Suspect, isAtRest: (held: Held) => boolean): Promise<string[]> {
  const startedAtMs = performance.now();
  for (let looks = 0; ; looks++) {
    const held = await one.held();
    // It is stopped, or has ended.
    if (held === undefined) return [];
    const more = grown(one.heldBefore!, held);
    if (more.length === 0) return [];
    // What hangs on a link whose peer is gone, or out of reach by now, stays with it.
    if (looks === 0 && !(await one.areLinksAlive())) return [];
    if (performance.now() - startedAtMs > SETTLE_MS)
      return isAtRest(held) ? [`${one.name} holds more than before: ${more.join("; ")}`] : [];
    await pause(LOOK_INTERVAL_MS);
  }
}

async function endInOrder(all: readonly Suspect[]): Promise<void> {
  await Promise.all(
    all.map(async (one) => {
      one.kill("SIGCONT");
      one.kill("SIGTERM");
      await Promise.race([one.ended, pause(TERM_MS)]);
      one.kill("SIGKILL");
      await one.ended;
    }),
  );
}

/** Processes that were started by one of these, which could have ended them, and that still run. */
async function orphans(all: readonly Suspect[]): Promise<string[]> {
  const startedAtMs = performance.now();
  for (;;) {
    const left: { by: Suspect; status: number; process: Leftover }[] = [];
    for (const by of all) {
      const status = await by.ended;
      for (const process of marked(by.mark)) left.push({ by, status, process });
    }
    // A command that was killed can end nothing any more.
    const answerable = left.filter(({ status }) => status !== SIGKILL_STATUS);
    if (answerable.length === 0 || performance.now() - startedAtMs > PROGRAM_MS) {
      for (const { process } of left) kill(process);
      return answerable.map(({ by, process }) => `${by.name} left "${process.commandLine}" running`);
    }
    await pause(LOOK_INTERVAL_MS);
  }
}

function kill({ pid }: Leftover): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/**
 * One process of the campaign: one world and its attacks, seed after seed, until the turn is over or an invariant
 * is broken. Its standard output is the victim's, so it reports by messages.
 */

import { endAll } from "../../lib/srudp-process.ts";
import { broken } from "../target.ts";
import { Xorshift } from "../xorshift.ts";
import { InProcessCommand } from "./command.ts";
import { ForwardWorld } from "./forward-world.ts";
import { ListenWorld } from "./listen-world.ts";
import { meter, thousandPacketsMs } from "./meter.ts";
import { RendezvousWorld } from "./rendezvous-world.ts";
import type { StackTargetName, StackTurn, WorkerReport } from "./turn.ts";
import { ProcessVictim, type StartVictim } from "./victim.ts";
import { Ledger, type World } from "./world.ts";

/** Attacks that only warm up: what they leave in caches and pools is the ground that the others are measured from. */
const WARM_UP_ATTACKS = 4;
/** Attacks between two audits. */
const AUDIT_EVERY = 150;
/** One turn of the victim's event loop, which may take many inputs at once, in units of a thousand full packets sealed. */
const TURN_MOST_UNITS = 50;
const TURN_MOST_MS = 80;

const inProcess: StartVictim = (name, words, environment) => new InProcessCommand(name, words, environment);
const apart: StartVictim = (name, words, environment) => new ProcessVictim(name, words, environment);

const WORLDS: Readonly<Record<StackTargetName, () => World>> = {
  forwards: () => new ListenWorld("forwards", inProcess),
  programs: () => new ListenWorld("programs", inProcess),
  forwarder: () => new ForwardWorld(inProcess),
  rendezvous: () => new RendezvousWorld(inProcess),
  "listen-process": () => new ListenWorld("forwards", apart),
  "exec-process": () => new ListenWorld("programs", apart),
  "rendezvous-process": () => new RendezvousWorld(apart),
};

const report = (message: WorkerReport): void => void process.send!(message);
let seed = 0;
let world: World | undefined;

/** Ends the process with the seed that is at fault. */
function fail(thrown: unknown, name: StackTargetName): void {
  const what =
    thrown instanceof Error ? `${thrown.name === "Broken" ? thrown.message : thrown.stack}` : String(thrown);
  const script = world?.print(randomOf(seed, name)) ?? "";
  process.send!({ kind: "failed", seed, what, script } satisfies WorkerReport, () => {
    void endAll().finally(() => process.exit(1));
  });
}

function randomOf(seed: number, name: StackTargetName): Xorshift {
  return new Xorshift(seed, `stack ${name}`);
}

/** @returns the inputs of it */
async function attack(world: World, ledger: Ledger | undefined, name: StackTargetName): Promise<number> {
  const allowedMs = Math.max(TURN_MOST_MS, TURN_MOST_UNITS * unitMs);
  let longestMs = Number.POSITIVE_INFINITY;
  let inputs = 0;
  // A machine that stands still looks like a slow input, but not three times in a row.
  for (let tries = 0; longestMs > allowedMs && tries < 3; tries++) {
    meter.reset();
    const taken = await attackOnce(world, randomOf(seed, name));
    inputs += taken;
    longestMs = Math.min(longestMs, meter.longestMs);
    const left = (await ledger?.settle(taken)) ?? "";
    // What has leaked harms nobody yet: the others are found behind it.
    if (left !== "") report({ kind: "leaked", seed, what: left, script: world.print(randomOf(seed, name)) });
  }
  if (longestMs > allowedMs)
    broken(`a turn of the event loop took ${longestMs.toFixed(0)} ms; ${allowedMs.toFixed(0)} are allowed`);
  world.check();
  report({ kind: "attacked", seed, inputs, longestMs });
  return inputs;
}

/** What an attacker or an honest peer misses may be the victim's end: then that is what is to be told. */
async function attackOnce(world: World, random: Xorshift): Promise<number> {
  try {
    return await world.attack(random);
  } catch (error) {
    world.check();
    throw error;
  }
}

let unitMs = 0;

async function run({ target, firstSeed, inputs, attacks }: StackTurn): Promise<void> {
  process.on("uncaughtException", (error) => fail(error, target));
  process.on("unhandledRejection", (error) => fail(error, target));
  seed = firstSeed;
  try {
    meter.install();
    unitMs = thousandPacketsMs();
    world = WORLDS[target]();
    await world.start();
    // The first attack's seed warms up too, so that one seed alone is repeated with the ledger at hand.
    const first = firstSeed;
    for (let n = 1; n <= WARM_UP_ATTACKS; n++) {
      seed = first - n;
      await attack(world, undefined, target);
    }
    const ledger = new Ledger(world);
    await ledger.begin();
    seed = first;
    for (let done = 0, count = 0; count < attacks && done < inputs; count++, seed++) {
      done += await attack(world, ledger, target);
      if (count % AUDIT_EVERY === AUDIT_EVERY - 1) await ledger.audit();
    }
    seed--;
    await ledger.audit();
    await world.stop();
    await endAll();
    process.send!({ kind: "done" } satisfies WorkerReport, () => process.exit(0));
  } catch (error) {
    fail(error, target);
  }
}

// The campaign has gone: so do the programs that were started here.
process.once("disconnect", () => void endAll().finally(() => process.exit(1)));
process.once("message", (turn) => void run(turn as StackTurn));

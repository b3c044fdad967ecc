/**
 * One end of a measurement, in a process of its own: `speed-peer.js receive|send CONTENDER ADDRESS [PORT] MS`.
 * Speaks one JSON object a line on stdout; a receiver stays until its stdin ends.
 */
import { CONTENDERS } from "./speed/contenders.ts";
import { WARM_UP_MS } from "./speed/transfer.ts";

const [role, name = "", address = "", portText = "0", msText = "1000"] = process.argv.slice(2);
const make = CONTENDERS[name];
if (make === undefined) throw new Error(`no contender "${name}"`);
const contender = make();
const measuredMs = Number(msText);
const say = (what: object): boolean => process.stdout.write(`${JSON.stringify(what)}\n`);

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

if (role === "receive") {
  let startMs = -1;
  let bytes = 0;
  let cpuBeforeMs = 0;
  let isDone = false;
  const port = await contender.receive(address, (byteLength) => {
    const now = performance.now();
    if (startMs < 0) startMs = now + WARM_UP_MS;
    if (now < startMs || isDone) return;
    if (bytes === 0) cpuBeforeMs = cpuMs();
    bytes += byteLength;
    if (now < startMs + measuredMs) return;
    isDone = true;
    say({ kind: "received", bytes, tookMs: now - startMs, cpuMs: cpuMs() - cpuBeforeMs });
  });
  say({ kind: "ready", port });
  process.stdin.resume().on("end", () => process.exit());
} else {
  const beforeMs = cpuMs();
  const startMs = performance.now();
  // A little longer than the receiver measures, so that its end is not the sender's.
  await contender.send(address, Number(portText), WARM_UP_MS + measuredMs + 300);
  say({ kind: "sent", cpuMs: cpuMs() - beforeMs, tookMs: performance.now() - startMs });
  process.exit();
}

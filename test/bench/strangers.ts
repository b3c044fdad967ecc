/**
 * `npm run bench:strangers`: what one datagram of a stranger costs a listener, and what half-open handshakes hold.
 *
 * The listener and its endpoint are the real ones; a socket that is not one hands over the datagrams, so that no
 * system call is timed. Timed is everything up to the answer, garbage collection included.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { utf8Encode, writeU16 } from "../../src/base/bytes.ts";
import type { Handshake } from "../../src/engine/handshake/handshake.ts";
import { Endpoint } from "../../src/link/endpoint.ts";
import type { ListenOptions } from "../../src/link/link-options.ts";
import { Trust } from "../../src/link/trust.ts";
import { Listener } from "../../src/open/listener.ts";
import type { DatagramHandler, DatagramSocket } from "../../src/platform/udp/datagram-socket.ts";
import { pointsOfCode } from "../../src/traversal/signalling/rendezvous-point.ts";
import { PACKET_COOKIE } from "../../src/wire/packet.ts";
import { forgedFirst } from "../lib/first-message.ts";
import { keyPair, newInitiator } from "../unit/engine/handshake-sides.ts";

const ROUNDS = 40;
/** Handshakes that a new listener begins without asking for a cookie. */
const FREE_HANDSHAKES = 30;
const CODE = "42-ocean-lizard-maple";
const WRONG = utf8Encode("7-abandon-ability-able");
const HALF_OPEN = 128;
const HALF_OPEN_WORD = "half-open";

/** A listener that nothing reaches but what is handed to it. */
class Stage implements DatagramSocket {
  readonly kind = "udp";
  readonly family = 4;
  readonly local = { address: "192.0.2.1", port: 4242, family: 4 as const };
  readonly queuedDatagrams = 0;
  index = 0;
  onDatagram: DatagramHandler | undefined;
  onSent: (() => void) | undefined;
  readonly answers: Uint8Array[] = [];
  private readonly endpoint: Endpoint;
  private readonly listener: Listener;

  constructor(options: ListenOptions) {
    this.endpoint = new Endpoint([this]);
    this.listener = Listener.start(this.endpoint, new Trust(options), options);
    this.listener.on("error", () => undefined);
  }

  hand(bytes: Uint8Array, address: string): void {
    this.onDatagram!(this, address, 5, bytes);
    this.endpoint.flush();
  }

  send(bytes: Uint8Array): void {
    this.answers.push(Uint8Array.from(bytes));
  }

  sendLast(bytes: Uint8Array): void {
    this.send(bytes);
  }

  sendWithTtl(): void {}
  holdProcess(): void {}
  close(): void {}

  end(): void {
    void this.listener.close();
    this.endpoint.close();
  }
}

interface Input {
  readonly bytes: Uint8Array;
  readonly address: string;
}

let addresses = 0;
function freshAddress(): string {
  addresses++;
  return `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

/** Times what `inputs` makes for each of many fresh listeners; prints a row. */
function measure(
  name: string,
  options: ListenOptions,
  answer: string,
  inputs: (stage: Stage) => readonly Input[],
): void {
  let cpuUs = 0;
  let count = 0;
  let answered = 0;
  const tookUs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const stage = new Stage(options);
    const batch = inputs(stage);
    stage.answers.length = 0;
    const before = process.cpuUsage();
    for (const { bytes, address } of batch) {
      const startMs = performance.now();
      stage.hand(bytes, address);
      tookUs.push(1000 * (performance.now() - startMs));
    }
    const { user, system } = process.cpuUsage(before);
    // The first rounds are the compiler's.
    if (round >= ROUNDS / 4) {
      cpuUs += user + system;
      count += batch.length;
    }
    for (const bytes of stage.answers) answered += bytes.length;
    stage.end();
  }
  tookUs.sort((a, b) => a - b);
  const median = tookUs[Math.floor(tookUs.length / 2)]!;
  const bytes = Math.round(answered / tookUs.length);
  console.log(`| ${name} | ${median.toFixed(1)} | ${(cpuUs / count).toFixed(1)} | ${bytes} | ${answer} |`);
}

function newStranger(mode: "code" | "key", code: Uint8Array = WRONG): Handshake {
  return newInitiator(mode, {
    credentials: mode === "code" ? { code } : { key: true },
    connectionId: new Uint8Array(randomBytes(8)),
    random: (byteLength) => new Uint8Array(randomBytes(byteLength)),
  });
}

/** Takes a stranger's handshake up to its next message. */
function nextOf(stage: Stage, stranger: Handshake, bytes: Uint8Array, address: string): Uint8Array {
  stage.answers.length = 0;
  stage.hand(Uint8Array.from(bytes), address);
  for (const reply of stage.answers) stranger.handlePacket(0, reply);
  return stranger.pollTransmit()!;
}

function firstOf(stranger: Handshake): Uint8Array {
  stranger.start(0);
  return stranger.pollTransmit()!;
}

const byCode: ListenOptions = { code: CODE, maxLinks: 1000 };
const byPassphrase: ListenOptions = { passphrase: "a passphrase long enough", maxLinks: 1000 };
const bySecret: ListenOptions = { secret: new Uint8Array(32).fill(3), maxLinks: 1000 };
const byKey: ListenOptions = { identity: keyPair(5), verifyPeer: () => false, maxLinks: 1000 };

const firsts = (mode: "code" | "key" | "passphrase" | "secret", count: number): Input[] =>
  Array.from({ length: count }, () => ({ bytes: forgedFirst({ mode }), address: freshAddress() }));

if (process.argv[2] === HALF_OPEN_WORD) measureHalfOpen();
else {
  await measureInputs();
  // In a process of its own, whose memory was not used for anything else before.
  process.stdout.write(execFileSync(process.execPath, [fileURLToPath(import.meta.url), HALF_OPEN_WORD]));
}

async function measureInputs(): Promise<void> {
  console.log("| a stranger's datagram | µs, median | CPU µs, mean | answer, bytes | answer |");
  console.log("|---|---|---|---|---|");
  measure("random bytes", byCode, "none", () =>
    Array.from({ length: 200 }, () => ({
      bytes: new Uint8Array(randomBytes(1200)),
      address: freshAddress(),
    })),
  );
  measure("first message, mac1 under a wrong secret", bySecret, "none", () => firsts("secret", 200));
  measure(
    "first message beyond the allowance, an address that was sent a cookie",
    byCode,
    "none",
    (stage) => {
      for (const { bytes, address } of firsts("code", 40)) stage.hand(bytes, address);
      const [one] = firsts("code", 1);
      stage.hand(one!.bytes, one!.address);
      return firsts("code", 200).map(({ bytes }) => ({ bytes, address: one!.address }));
    },
  );
  measure("first message beyond the allowance", byCode, "cookie", (stage) => {
    for (const { bytes, address } of firsts("code", 40)) stage.hand(bytes, address);
    return firsts("code", 200);
  });
  measure("first message, code: one run of the PAKE", byCode, "pakeAnswer", () =>
    Array.from({ length: 12 }, () => ({ bytes: firstOf(newStranger("code")), address: freshAddress() })),
  );
  measure("first message with a cookie, code", byCode, "pakeAnswer", (stage) => {
    for (const { bytes, address } of firsts("code", 40)) stage.hand(bytes, address);
    const proven: Input[] = [];
    while (proven.length < 40) {
      const stranger = newStranger("code");
      const address = freshAddress();
      const bytes = nextOf(stage, stranger, firstOf(stranger), address);
      // Four a second still enter without one.
      if (stage.answers[0]?.[0] === PACKET_COOKIE) proven.push({ bytes, address });
    }
    return proven;
  });
  measure("the same first message again", byCode, "pakeAnswer", (stage) => {
    const bytes = firstOf(newStranger("code"));
    const address = freshAddress();
    stage.hand(Uint8Array.from(bytes), address);
    return Array.from({ length: 200 }, () => ({ bytes: Uint8Array.from(bytes), address }));
  });
  measure("first wrong confirmation of a run", byPassphrase, "refused", (stage) =>
    confirmationsOf(stage).map(({ bytes, address }) => ({ bytes, address })),
  );
  measure("the same wrong confirmation again", byPassphrase, "refused", (stage) => {
    const [{ bytes, address }] = confirmationsOf(stage) as [Input];
    stage.hand(Uint8Array.from(bytes), address);
    return Array.from({ length: 30 }, () => ({ bytes: Uint8Array.from(bytes), address }));
  });
  measure("wrong confirmations beyond 32 of a run", byPassphrase, "none", (stage) => {
    const [{ bytes, address }] = confirmationsOf(stage) as [Input];
    for (let n = 0; n < 40; n++) stage.hand(Uint8Array.from(bytes), address);
    return Array.from({ length: 200 }, () => ({ bytes: Uint8Array.from(bytes), address }));
  });
  measure("first message of a source that guessed wrong", byPassphrase, "busy", (stage) => {
    const address = freshAddress();
    for (let n = 0; n < 3; n++) {
      const stranger = newPassphraseStranger();
      stage.hand(nextOf(stage, stranger, firstOf(stranger), address), address);
    }
    return firsts("passphrase", 25).map(({ bytes }) => ({ bytes, address }));
  });
  measure("first message, key: the first half of Noise", byKey, "noise2", () =>
    Array.from({ length: FREE_HANDSHAKES }, () => ({
      bytes: firstOf(newStranger("key")),
      address: freshAddress(),
    })),
  );
  measure("last message, key: the second half, refused", byKey, "CLOSE", (stage) =>
    Array.from({ length: 20 }, () => {
      const stranger = newStranger("key");
      const address = freshAddress();
      return { bytes: nextOf(stage, stranger, firstOf(stranger), address), address };
    }),
  );

  await measureScrypt();
}

function newPassphraseStranger(): Handshake {
  return newInitiator("passphrase", {
    credentials: { passphrase: WRONG },
    connectionId: new Uint8Array(randomBytes(8)),
    random: (byteLength) => new Uint8Array(randomBytes(byteLength)),
  });
}

function confirmationsOf(stage: Stage): Input[] {
  return Array.from({ length: 12 }, () => {
    const stranger = newPassphraseStranger();
    const address = freshAddress();
    return { address, bytes: nextOf(stage, stranger, firstOf(stranger), address) };
  });
}

/** The places of one code: what a code that is made costs a listener that is met. */
async function measureScrypt(): Promise<void> {
  const before = process.cpuUsage();
  let points = 0;
  for await (const _ of pointsOfCode(CODE, Date.now())) points++;
  const { user, system } = process.cpuUsage(before);
  console.log(`\nthe ${points} places of a code: ${((user + system) / 1000).toFixed(0)} ms of CPU`);
}

/** Memory of as many half-open handshakes as there may be, each with all the early data that is kept. */
function measureHalfOpen(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): { heap: number; rss: number } => {
    collect();
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heap: heapUsed + external, rss };
  };
  // The first round is for what the process needs anyway.
  for (const stage of halfOpenStages()) stage.end();
  const before = held();
  const stages = halfOpenStages();
  const after = held();
  const inKiB = (bytes: number): string => `${Math.round(bytes / 1024 / HALF_OPEN)} KiB`;
  console.log(
    `${HALF_OPEN} half-open handshakes with early data: ${((after.rss - before.rss) / 1e6).toFixed(1)} MB of RSS, ` +
      `${inKiB(after.heap - before.heap)} of heap and buffers each`,
  );
  for (const stage of stages) stage.end();
}

/** Listeners with HALF_OPEN half-open handshakes in all, each of which was sent more early data than is kept. */
function halfOpenStages(): Stage[] {
  const stages: Stage[] = [];
  let halfOpen = 0;
  while (halfOpen < HALF_OPEN) {
    const stage = new Stage(byKey);
    stages.push(stage);
    for (let n = 0; n < FREE_HANDSHAKES && halfOpen < HALF_OPEN; n++, halfOpen++) {
      const stranger = newStranger("key");
      const address = freshAddress();
      const last = nextOf(stage, stranger, firstOf(stranger), address);
      for (let packets = 0; packets < 8; packets++) {
        for (const byteLength of [65_507, 1500]) {
          const data = new Uint8Array(byteLength).fill(7);
          data[0] = 0xc0;
          data.set(last.subarray(3, 11), 1);
          writeU16(data, 15, byteLength - 17);
          stage.hand(data, address);
        }
      }
    }
  }
  return stages;
}

import { describe, expect, it } from "vitest";
import type { Path } from "../../src/base/path.ts";
import { Connection, type ConnectionEvent, EVENT } from "../../src/engine/connection/connection.ts";
import { DEFAULT_PARAMETERS, encodeParameters } from "../../src/engine/connection/transport-parameters.ts";
import { Handshake } from "../../src/engine/handshake/handshake.ts";
import { DrivenConnection } from "./driven-connection.ts";
import { toyPrimitives } from "./primitives.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const PEER: Path = { address: "192.0.2.1", port: 1000, socket: 0 };
const STRANGER: Path = { address: "198.51.100.66", port: 666, socket: 0 };
const DELAY_MS = 20;
const SECRET = new Random(1, "shared").bytes(32);

/** One of two that call each other; `send` carries what it sends to where it goes. */
class Caller extends DrivenConnection {
  send: (path: Path, bytes: Uint8Array) => void = () => {};
  readBytes = 0;
  /** To be sent as soon as there are keys, which for the initiator is before the peer has spoken under them. */
  toSend = 0;
  isConfirmed = false;

  constructor(world: World, seed: number) {
    super(world, newCall(world.now, seed));
  }

  protected override onDatagram(path: Path, bytes: Uint8Array): void {
    this.send(path, bytes);
  }

  protected override onEvent({ kind, streamId }: ConnectionEvent): void {
    const { connection } = this;
    if (kind === EVENT.confirmed) this.isConfirmed = true;
    if (kind === EVENT.established && this.toSend > 0) {
      connection.write(connection.openStream(), new Uint8Array(this.toSend));
    }
    if (kind !== EVENT.readable) return;
    for (let bytes = connection.read(streamId); bytes !== undefined; bytes = connection.read(streamId)) {
      this.readBytes += bytes.length;
    }
  }
}

function newCall(nowMs: number, seed: number): Connection {
  const random = new Random(seed, "caller");
  const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
  const secretKey = draw(32);
  const connectionId = draw(8);
  const handshake = new Handshake({
    role: "initiator",
    mayRespond: true,
    mode: "secret",
    credentials: { secret: SECRET },
    primitives: toyPrimitives,
    random: draw,
    identity: { secretKey, publicKey: toyPrimitives.x25519.publicKey(secretKey) },
    connectionId,
    parameters: encodeParameters(DEFAULT_PARAMETERS),
    verifyPeer: () => "accept",
  });
  return new Connection(nowMs, {
    handshake,
    paths: [PEER],
    primitives: toyPrimitives,
    random: draw,
    parameters: DEFAULT_PARAMETERS,
    idleTimeoutMs: Number.POSITIVE_INFINITY,
    congestion: "bbr",
    connectionId,
  });
}

/** Two calls that cross; the first of them is the one that becomes the initiator. */
function crossingCalls(): { world: World; winner: Caller; loser: Caller } {
  for (let seed = 1; ; seed++) {
    const world = new World();
    const winner = new Caller(world, seed);
    const loser = new Caller(world, seed + 1000);
    const deliver = (to: Caller) => (path: Path, bytes: Uint8Array) => {
      if (path === PEER) world.at(world.now + DELAY_MS, () => to.receive(PEER, bytes));
    };
    winner.send = deliver(loser);
    loser.send = deliver(winner);
    winner.settle();
    loser.settle();
    world.run(1000);
    if (winner.connection.role !== "initiator") continue;
    const again = new World();
    return { world: again, winner: new Caller(again, seed), loser: new Caller(again, seed + 1000) };
  }
}

describe("two that call each other, with somebody who copies their packets from his own address", () => {
  it("are not led astray by an answer that he passes on before its original", () => {
    const { world, winner, loser } = crossingCalls();
    let strayBytes = 0;
    let isAnswerCopied = false;
    winner.send = (path, bytes) => {
      const isLink = (bytes[0]! & 0xf0) === 0xc0;
      if (path === STRANGER) strayBytes += isLink ? bytes.length : 0;
      else world.at(world.now + DELAY_MS, () => loser.receive(PEER, bytes));
    };
    loser.send = (path, bytes) => {
      if (path !== PEER) return;
      const kind = bytes[0]! & 0x0f;
      const isHandshake = (bytes[0]! & 0xf0) === 0xd0;
      // His copy of each first message and of the answer is there first; the original answer never arrives.
      if (isHandshake) world.at(world.now + DELAY_MS - 1, () => winner.receive(STRANGER, bytes));
      if (isHandshake && kind === 3) isAnswerCopied = true;
      else world.at(world.now + DELAY_MS, () => winner.receive(PEER, bytes));
    };
    winner.toSend = 200_000;
    loser.settle();
    world.run(DELAY_MS);
    winner.settle();
    world.run(5000);
    expect(isAnswerCopied).toBe(true);
    expect([winner.isConfirmed, loser.isConfirmed]).toEqual([true, true]);
    expect(loser.readBytes).toBe(200_000);
    expect(winner.connection.path).toBe(PEER);
    // Of the link itself he gets no more than an unproved path may have.
    expect(strayBytes).toBeLessThanOrEqual(3 * 1200);
  });
});

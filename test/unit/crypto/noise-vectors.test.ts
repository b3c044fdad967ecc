/** Noise handshakes against the vectors of cacophony and flynn/noise, transport messages included. */
import { describe, expect, it } from "vitest";
import { concatBytes, fromHex, toHex } from "../../../src/base/bytes.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { NoiseHandshake, type NoiseOptions, type NoisePattern } from "../../../src/crypto/noise.ts";
import { NOISE_PATTERNS } from "../../../src/crypto/noise-patterns.ts";
import type { KeyPair, Primitives } from "../../../src/crypto/primitives.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { vectorText } from "./vectors.ts";

interface Side {
  readonly prologue: string;
  readonly ephemeral: string;
  readonly staticKey?: string | undefined;
  readonly remoteStatic?: string | undefined;
}

interface NoiseVector {
  readonly protocol: string;
  readonly psk?: string | undefined;
  readonly initiator: Side;
  readonly responder: Side;
  readonly handshakeHash?: string | undefined;
  /** Who writes the first message after the handshake: the next in turn, or always the initiator. */
  readonly transportBegins: "in turn" | "initiator";
  readonly messages: readonly { payload: string; ciphertext: string }[];
}

type CacophonyVector = Record<string, string> & {
  init_psks?: string[];
  messages: { payload: string; ciphertext: string }[];
};

function cacophonyVectors(): NoiseVector[] {
  const text = vectorText("noise-cacophony.json");
  if (text === undefined) return [];
  return (JSON.parse(text) as { vectors: CacophonyVector[] }).vectors.map((vector) => {
    const side = (prefix: string): Side => ({
      prologue: vector[`${prefix}_prologue`]!,
      ephemeral: vector[`${prefix}_ephemeral`]!,
      staticKey: vector[`${prefix}_static`],
      remoteStatic: vector[`${prefix}_remote_static`],
    });
    return {
      protocol: vector.protocol_name!,
      psk: vector.init_psks?.[0],
      initiator: side("init"),
      responder: side("resp"),
      handshakeHash: vector.handshake_hash,
      transportBegins: "in turn",
      messages: vector.messages,
    };
  });
}

function flynnVectors(): NoiseVector[] {
  const text = vectorText("noise-flynn-psk0.txt");
  if (text === undefined) return [];
  return text
    .trim()
    .split(/\n\s*\n/)
    .map((block) => {
      const fields = new Map(block.split("\n").map((line) => line.split("=", 2) as [string, string]));
      const messages: { payload: string; ciphertext: string }[] = [];
      for (let i = 0; fields.has(`msg_${i}_ciphertext`); i++) {
        messages.push({
          payload: fields.get(`msg_${i}_payload`)!,
          ciphertext: fields.get(`msg_${i}_ciphertext`)!,
        });
      }
      const side = (prefix: string): Side => ({
        prologue: fields.get("prologue") ?? "",
        ephemeral: fields.get(`gen_${prefix}_ephemeral`)!,
        staticKey: fields.get(`${prefix}_static`),
      });
      return {
        protocol: fields.get("handshake")!,
        psk: fields.get("preshared_key"),
        initiator: side("init"),
        responder: side("resp"),
        transportBegins: "initiator",
        messages,
      };
    });
}

function handshakeOf(
  vector: NoiseVector,
  role: "initiator" | "responder",
  primitives: Primitives,
): NoiseHandshake {
  const pattern = /^Noise_(\w+?)_25519_ChaChaPoly_SHA256$/.exec(vector.protocol)![1] as NoisePattern;
  const side = vector[role];
  const pair = (secret: string): KeyPair => {
    const secretKey = fromHex(secret);
    return { secretKey, publicKey: primitives.x25519.publicKey(secretKey) };
  };
  const options: NoiseOptions = {
    pattern,
    role,
    primitives,
    prologue: fromHex(side.prologue),
    ephemeral: pair(side.ephemeral),
    ...(side.staticKey === undefined ? {} : { staticKeys: pair(side.staticKey) }),
    ...(side.remoteStatic === undefined ? {} : { remoteStatic: fromHex(side.remoteStatic) }),
    ...(vector.psk === undefined ? {} : { psk: fromHex(vector.psk) }),
  };
  return new NoiseHandshake(options);
}

function run(vector: NoiseVector, primitives: Primitives): void {
  const initiator = handshakeOf(vector, "initiator", primitives);
  const responder = handshakeOf(vector, "responder", primitives);
  const turns = [initiator, responder];
  let index = 0;
  for (; !initiator.isComplete; index++) {
    const { payload, ciphertext } = vector.messages[index]!;
    const message = turns[index % 2]!.writeMessage(fromHex(payload));
    expect(toHex(message)).toBe(ciphertext);
    expect(toHex(turns[(index + 1) % 2]!.readMessage(message)!)).toBe(payload);
  }
  expect(responder.isComplete).toBe(true);
  expect(index).toBeLessThan(vector.messages.length);
  for (const side of turns) {
    if (vector.handshakeHash !== undefined) expect(toHex(side.handshakeHash)).toBe(vector.handshakeHash);
    const { initiatorKey, responderKey } = side.split();
    const directions = [initiatorKey, responderKey].map((key) => ({
      key: primitives.aead.key(key),
      counter: 0,
    }));
    const firstWriter = vector.transportBegins === "initiator" ? 0 : index % 2;
    for (const [turn, { payload, ciphertext }] of vector.messages.slice(index).entries()) {
      const direction = directions[(firstWriter + turn) % 2]!;
      const text = fromHex(payload);
      const bytes = concatBytes(text, new Uint8Array(16));
      direction.key.seal(bytes, 0, 0, text.length, direction.counter++);
      expect(toHex(bytes)).toBe(ciphertext);
    }
  }
  const authenticatesStatic = vector.initiator.staticKey !== undefined;
  expect(responder.remoteStatic !== undefined).toBe(authenticatesStatic);
  if (authenticatesStatic) {
    const expected = primitives.x25519.publicKey(fromHex(vector.initiator.staticKey!));
    expect(toHex(responder.remoteStatic!)).toBe(toHex(expected));
  }
}

const SOURCES = [
  { source: "cacophony", vectors: cacophonyVectors() },
  { source: "flynn/noise", vectors: flynnVectors() },
];

for (const { source, vectors } of SOURCES) {
  describe.skipIf(vectors.length === 0)(`Noise with the vectors of ${source}`, () => {
    const names = vectors.map((vector, index) => ({ index, protocol: vector.protocol }));
    for (const primitives of [noblePrimitives, nodePrimitives]) {
      it.each(names)(`writes and reads vector $index, $protocol, with ${primitives.name}`, ({ index }) => {
        run(vectors[index]!, primitives);
      });
    }
  });
}

describe.skipIf(SOURCES.some(({ vectors }) => vectors.length === 0))("the Noise vectors", () => {
  it("cover every pattern there is here", () => {
    const covered = SOURCES.flatMap(({ vectors }) => vectors.map((vector) => vector.protocol.split("_")[1]));
    expect(new Set(covered)).toEqual(new Set(Object.keys(NOISE_PATTERNS)));
  });
});

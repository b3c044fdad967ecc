/**
 * A second computation of what is this protocol's own, from docs/protocol.md and the papers, on node:crypto and
 * BigInt alone: nothing here is shared with the code under test.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from "node:crypto";

export const utf8 = (text: string): Buffer => Buffer.from(text, "utf8");
export const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const sha256 = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
export const hkdf = (secret: Uint8Array, salt: Uint8Array, label: string | Uint8Array, length = 32): Buffer =>
  Buffer.from(hkdfSync("sha256", secret, salt, label, length));
/** Each part behind its length in 16 bits. */
export const withLengths = (...parts: Uint8Array[]): Buffer =>
  Buffer.concat(parts.flatMap((part) => [Buffer.from([part.length >> 8, part.length & 255]), part]));

const PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI = Buffer.from("302a300506032b656e032100", "hex");
const privateKey = (raw: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([PKCS8, raw]), format: "der", type: "pkcs8" });
const publicOf = (raw: Uint8Array): Buffer =>
  createPublicKey(privateKey(raw)).export({ format: "der", type: "spki" }).subarray(12);
const dh = (secret: Uint8Array, peer: Uint8Array): Buffer =>
  diffieHellman({
    privateKey: privateKey(secret),
    publicKey: createPublicKey({ key: Buffer.concat([SPKI, peer]), format: "der", type: "spki" }),
  });

function seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, text: Uint8Array): Buffer {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  cipher.setAAD(ad, { plaintextLength: text.length });
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

/** HChaCha20 by its definition.  // draft-irtf-cfrg-xchacha-03 §2.2 */
function hchacha20(key: Uint8Array, nonce: Uint8Array): Buffer {
  const words = new Uint32Array(16);
  const input = Buffer.concat([utf8("expand 32-byte k"), key, nonce.subarray(0, 16)]);
  for (let i = 0; i < 16; i++) words[i] = input.readUInt32LE(4 * i);
  const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
  const mix = (a: number, b: number, c: number, d: number): void => {
    for (const [to, from, turned, by] of [
      [a, b, d, 16],
      [c, d, b, 12],
      [a, b, d, 8],
      [c, d, b, 7],
    ] as const) {
      words[to]! += words[from]!;
      words[turned] = rotate(words[turned]! ^ words[to]!, by);
    }
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) mix(i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
  }
  const out = Buffer.alloc(32);
  for (let i = 0; i < 4; i++) out.writeUInt32LE(words[i]!, 4 * i);
  for (let i = 0; i < 4; i++) out.writeUInt32LE(words[12 + i]!, 16 + 4 * i);
  return out;
}

/** XChaCha20-Poly1305; throws for a wrong tag. */
export function xopen(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Buffer {
  const short = Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]);
  const cipher = createDecipheriv("chacha20-poly1305", hchacha20(key, nonce), short, { authTagLength: 16 });
  cipher.setAAD(ad, { plaintextLength: sealed.length - 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
}

type Token = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

export interface Party {
  readonly e: Uint8Array;
  readonly s?: Uint8Array;
}

/** Both sides of a Noise handshake at once, from the secret keys of both.  // Noise revision 34 §5 */
export class ReferenceNoise {
  h: Buffer;
  ck: Buffer;
  #key: Buffer | undefined;
  #n = 0;
  readonly #parties: readonly [Party, Party];
  readonly #psk: Uint8Array | undefined;

  constructor(name: string, prologue: Uint8Array, parties: readonly [Party, Party], psk?: Uint8Array) {
    this.h =
      name.length <= 32 ? Buffer.concat([utf8(name), Buffer.alloc(32 - name.length)]) : sha256(utf8(name));
    this.ck = this.h;
    this.#parties = parties;
    this.#psk = psk;
    this.#mixHash(prologue);
  }

  /** The message that side `from` (0: initiator) sends. */
  message(from: 0 | 1, tokens: readonly Token[], payload: Uint8Array): Buffer {
    const [initiator, responder] = this.#parties;
    const own = this.#parties[from];
    const parts: Buffer[] = [];
    for (const token of tokens) {
      if (token === "e") {
        const key = publicOf(own.e);
        parts.push(key);
        this.#mixHash(key);
        if (this.#psk !== undefined) this.#mixKey(key);
      } else if (token === "s") parts.push(this.#encrypt(publicOf(own.s!)));
      else if (token === "psk") {
        const [ck, hash, key] = this.#derive(this.#psk!, 3);
        this.ck = ck!;
        this.#mixHash(hash!);
        this.#setKey(key!);
      } else {
        // "es": the initiator's e with the responder's s.
        const [a, b] = [token[0] as "e" | "s", token[1] as "e" | "s"];
        this.#mixKey(dh(initiator[a]!, publicOf(responder[b]!)));
      }
    }
    parts.push(this.#encrypt(payload));
    return Buffer.concat(parts);
  }

  /** Keys of the initiator's and of the responder's packets. */
  split(): [Buffer, Buffer] {
    const [first, second] = this.#derive(Buffer.alloc(0), 2);
    return [first!, second!];
  }

  /** HKDF with the final chaining key as salt, as docs/protocol.md has it for exports. */
  exported(label: string): Buffer {
    return hkdf(this.h, this.ck, label);
  }

  /** Noise's HKDF: n chained outputs.  // §4.3 */
  #derive(material: Uint8Array, outputs: number): Buffer[] {
    const temporary = hmac(this.ck, material);
    const made: Buffer[] = [];
    for (let i = 1; i <= outputs; i++) {
      made.push(hmac(temporary, made.at(-1) ?? Buffer.alloc(0), Buffer.from([i])));
    }
    return made;
  }

  #mixKey(material: Uint8Array): void {
    const [ck, key] = this.#derive(material, 2);
    this.ck = ck!;
    this.#setKey(key!);
  }

  #setKey(key: Buffer): void {
    this.#key = key;
    this.#n = 0;
  }

  #mixHash(bytes: Uint8Array): void {
    this.h = sha256(this.h, bytes);
  }

  #encrypt(text: Uint8Array): Buffer {
    let sealed: Buffer = Buffer.from(text);
    if (this.#key !== undefined) {
      const nonce = Buffer.alloc(12);
      nonce.writeBigUInt64LE(BigInt(this.#n++), 4);
      sealed = seal(this.#key, nonce, this.h, text);
    }
    this.#mixHash(sealed);
    return sealed;
  }
}

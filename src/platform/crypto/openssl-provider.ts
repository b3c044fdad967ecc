/**
 * ChaCha20-Poly1305 by the OpenSSL inside node, called directly: no objects and no copies a packet, which is
 * most of what `node:crypto` costs. Packets are sealed and opened where they lie, by their addresses.
 *
 * Every index is checked before it becomes an address; nothing else stands between a mistake and foreign
 * memory. A cipher that does not agree with `node:crypto` on a first packet is not used at all.
 */
import { SrudpError } from "../../base/errors.ts";
import { NONCE_BYTES, sealedFits, writeNonce } from "../../crypto/nonce.ts";
import {
  AEAD_KEY_BYTES,
  AEAD_TAG_BYTES,
  type AeadKey,
  type AeadProvider,
  type Primitives,
} from "../../crypto/primitives.ts";
import { type Native, type NativeFunction, native } from "../native.ts";
import { nodePrimitives } from "./node-provider.ts";

// openssl/evp.h
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const KEEP_DIRECTION = -1;
const SEAL = 1;
const OPEN = 0;
/** No address: leaves what a call would set as it is, or has what it reads taken as associated data. */
const NOTHING = 0;

interface Evp {
  readonly newContext: NativeFunction;
  readonly freeContext: NativeFunction;
  readonly init: NativeFunction;
  readonly cipher: NativeFunction;
  readonly final: NativeFunction;
  readonly control: NativeFunction;
  readonly chacha20Poly1305: number;
}

function findEvp({ find }: Native): Evp {
  const address = "uintptr_t";
  return {
    newContext: find("EVP_CIPHER_CTX_new", address, []),
    freeContext: find("EVP_CIPHER_CTX_free", "void", [address]),
    init: find("EVP_CipherInit_ex", "int", [address, address, address, address, address, "int"]),
    // Unlike EVP_CipherUpdate it needs no place to write a length to.
    cipher: find("EVP_Cipher", "int", [address, address, address, "uint32_t"]),
    final: find("EVP_CipherFinal_ex", "int", [address, address, address]),
    control: find("EVP_CIPHER_CTX_ctrl", "int", [address, "int", "int", address]),
    chacha20Poly1305: find("EVP_chacha20_poly1305", address, [])(),
  };
}

class OpensslProvider implements AeadProvider {
  readonly name = "openssl";
  readonly #evp: Evp;
  readonly #contexts: FinalizationRegistry<number>;
  readonly #nonce: Uint8Array = new Uint8Array(NONCE_BYTES);
  readonly #nonceAt: number;
  /** Where OpenSSL writes lengths that nobody reads. */
  readonly #length: Uint8Array = new Uint8Array(8);
  readonly lengthAt: number;
  readonly #addressOf: (bytes: Uint8Array) => number;
  /** Packets mostly lie in the same array as the one before. Held, so that the address stays true. */
  #latest: Uint8Array | undefined;
  #latestAt = 0;

  constructor({ addressOf }: Native, evp: Evp) {
    this.#evp = evp;
    this.#addressOf = addressOf;
    this.#nonceAt = addressOf(this.#nonce);
    this.lengthAt = addressOf(this.#length);
    // OpenSSL wipes the key as it frees the context.
    this.#contexts = new FinalizationRegistry((context) => evp.freeContext(context));
  }

  key(bytes: Uint8Array): AeadKey {
    if (bytes.length !== AEAD_KEY_BYTES) throw new SrudpError("ERR_INTERNAL", "an AEAD key has 32 bytes");
    const key = new OpensslKey(this.#evp, this);
    this.#contexts.register(key, key.begin(this.#addressOf(bytes)));
    return key;
  }

  addressOf(bytes: Uint8Array): number {
    if (bytes !== this.#latest) {
      this.#latestAt = this.#addressOf(bytes);
      this.#latest = bytes;
    }
    return this.#latestAt;
  }

  /** Address of the nonce of `packetNumber`, good for the next call. */
  nonceOf(packetNumber: number): number {
    writeNonce(this.#nonce, packetNumber);
    return this.#nonceAt;
  }
}

class OpensslKey implements AeadKey {
  readonly #evp: Evp;
  readonly #provider: OpensslProvider;
  #context = 0;
  /** Direction that the context is set up for: a key is mostly used in one only. */
  #direction = SEAL;

  constructor(evp: Evp, provider: OpensslProvider) {
    this.#evp = evp;
    this.#provider = provider;
  }

  /** Takes the key at address `key` over; returns the context, which the caller frees. */
  begin(key: number): number {
    const { newContext, init, chacha20Poly1305 } = this.#evp;
    this.#context = newContext();
    const isReady =
      this.#context !== 0 && init(this.#context, chacha20Poly1305, NOTHING, key, NOTHING, SEAL) === 1;
    if (!isReady) throw new SrudpError("ERR_INTERNAL", "OpenSSL refuses ChaCha20-Poly1305");
    return this.#context;
  }

  seal(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): void {
    if (!sealedFits(bytes, adStart, textStart, textEnd)) {
      throw new SrudpError("ERR_INTERNAL", "no room for the text and its tag");
    }
    const { cipher, final, control } = this.#evp;
    const context = this.#context;
    const at = this.#provider.addressOf(bytes);
    const text = at + textStart;
    this.#start(SEAL, packetNumber);
    const isSealed =
      cipher(context, NOTHING, at + adStart, textStart - adStart) >= 0 &&
      cipher(context, text, text, textEnd - textStart) >= 0 &&
      final(context, text, this.#provider.lengthAt) === 1 &&
      control(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, at + textEnd) === 1;
    if (!isSealed) throw new SrudpError("ERR_INTERNAL", "OpenSSL does not seal");
  }

  open(
    bytes: Uint8Array,
    adStart: number,
    textStart: number,
    textEnd: number,
    packetNumber: number,
  ): boolean {
    if (!sealedFits(bytes, adStart, textStart, textEnd)) return false;
    const { cipher, final, control } = this.#evp;
    const context = this.#context;
    const at = this.#provider.addressOf(bytes);
    const text = at + textStart;
    this.#start(OPEN, packetNumber);
    return (
      control(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, at + textEnd) === 1 &&
      cipher(context, NOTHING, at + adStart, textStart - adStart) >= 0 &&
      cipher(context, text, text, textEnd - textStart) >= 0 &&
      // The end is where the tag is compared.
      final(context, text, this.#provider.lengthAt) === 1
    );
  }

  #start(direction: number, packetNumber: number): void {
    const nonce = this.#provider.nonceOf(packetNumber);
    const change = direction === this.#direction ? KEEP_DIRECTION : direction;
    if (this.#evp.init(this.#context, NOTHING, NOTHING, NOTHING, nonce, change) !== 1) {
      throw new SrudpError("ERR_INTERNAL", "OpenSSL refuses a nonce");
    }
    this.#direction = direction;
  }
}

/**
 * The primitives with the AEAD of node's own OpenSSL; undefined where it cannot be called.
 *
 * @param functions the way to it, for tests of what is made of a bad one
 */
export function opensslPrimitives(functions: Native | undefined = native()): Primitives | undefined {
  if (functions === undefined) return undefined;
  try {
    const aead = new OpensslProvider(functions, findEvp(functions));
    if (!agrees(aead, nodePrimitives.aead)) return undefined;
    return { ...nodePrimitives, name: aead.name, aead };
  } catch {
    // A node without these functions: linked to another library, or stripped.
    return undefined;
  }
}

/** Whether two providers seal alike, and whether the first opens what is genuine and nothing else. */
function agrees(aead: AeadProvider, reference: AeadProvider): boolean {
  const secret = Uint8Array.from({ length: AEAD_KEY_BYTES }, (_, i) => 3 * i);
  const length = 17 + 1000 + AEAD_TAG_BYTES;
  const sealed = Uint8Array.from({ length }, (_, i) => i);
  const expected = sealed.slice();
  const key = aead.key(secret);
  key.seal(sealed, 0, 17, length - AEAD_TAG_BYTES, 2 ** 40 + 5);
  reference.key(secret).seal(expected, 0, 17, length - AEAD_TAG_BYTES, 2 ** 40 + 5);
  if (!sealed.every((byte, i) => byte === expected[i])) return false;
  const forged = sealed.slice();
  forged[length - 1]! ^= 1;
  if (key.open(forged, 0, 17, length - AEAD_TAG_BYTES, 2 ** 40 + 5)) return false;
  return key.open(sealed, 0, 17, length - AEAD_TAG_BYTES, 2 ** 40 + 5) && sealed[17] === 17;
}

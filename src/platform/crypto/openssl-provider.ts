/**
 * ChaCha20-Poly1305 with direct calls to the OpenSSL inside node. It avoids the objects and copies
 * per packet that cause most of the cost of `node:crypto`. Packets are sealed and opened in place,
 * by address.
 *
 * Every index is checked before it is converted to an address, because no other check prevents an
 * out-of-bounds access. A cipher that does not agree with `node:crypto` on a test packet is not
 * used at all.
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
/** A null address. It leaves a parameter unchanged, or makes the input count as associated data. */
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
    // Unlike EVP_CipherUpdate, it needs no output parameter for the length.
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
  /** Output buffer for lengths that are not used. */
  readonly #length: Uint8Array = new Uint8Array(8);
  readonly lengthAt: number;
  readonly #addressOf: (bytes: Uint8Array) => number;
  /**
   * The array of the previous packet, which usually contains the next one too. The reference keeps
   * its address valid.
   */
  #latest: Uint8Array | undefined;
  #latestAt = 0;

  constructor({ addressOf }: Native, evp: Evp) {
    this.#evp = evp;
    this.#addressOf = addressOf;
    this.#nonceAt = addressOf(this.#nonce);
    this.lengthAt = addressOf(this.#length);
    // OpenSSL wipes the key when it frees the context.
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

  /** The address of the nonce of `packetNumber`. It is valid until the next call. */
  nonceOf(packetNumber: number): number {
    writeNonce(this.#nonce, packetNumber);
    return this.#nonceAt;
  }
}

class OpensslKey implements AeadKey {
  readonly #evp: Evp;
  readonly #provider: OpensslProvider;
  #context = 0;
  /** The direction that the context is set up for. A key is usually used in one direction only. */
  #direction = SEAL;

  constructor(evp: Evp, provider: OpensslProvider) {
    this.#evp = evp;
    this.#provider = provider;
  }

  /**
   * Creates the context for the key at address `key` and returns it. The caller frees the context.
   */
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
      // EVP_CipherFinal compares the tag.
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
 * The primitives with the AEAD of node's own OpenSSL, or undefined if it cannot be called.
 *
 * @param functions the native functions; tests pass faulty ones
 */
export function opensslPrimitives(functions: Native | undefined = native()): Primitives | undefined {
  if (functions === undefined) return undefined;
  try {
    const aead = new OpensslProvider(functions, findEvp(functions));
    if (!agrees(aead, nodePrimitives.aead)) return undefined;
    return { ...nodePrimitives, name: aead.name, aead };
  } catch {
    // This node lacks the functions: it is linked to another library, or stripped.
    return undefined;
  }
}

/**
 * Whether two providers seal identically, and whether the first one opens a valid packet and
 * rejects an invalid one.
 */
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

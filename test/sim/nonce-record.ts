/**
 * Watches every AEAD key of a world: a (key, packet number) may seal once, whichever end does it.
 *
 * A handshake may compute a message again, from the same inputs: the very same text under the very same
 * associated data gives the same bytes and tells nobody anything. For data packets even that is a breach.
 */

import type { AeadKey, AeadProvider, Primitives } from "../../src/crypto/primitives.ts";
import { HEADER_BYTES } from "../../src/wire/packet.ts";
import { checksum } from "./primitives.ts";

/** What was sealed under one key. */
class SealedNumbers {
  highest = -1;
  /** Numbers below `highest` that were left out, and so may still come. */
  readonly #skipped = new Set<number>();
  /** What was sealed with a number, of keys that are not for data packets. */
  readonly texts = new Map<number, number>();

  /** False when the number was sealed before. */
  add(packetNumber: number): boolean {
    if (packetNumber > this.highest) {
      const from = this.highest + 1;
      // A first number may be huge; only small gaps are remembered one by one.
      if (packetNumber - from < 1000) for (let n = from; n < packetNumber; n++) this.#skipped.add(n);
      this.highest = packetNumber;
      return true;
    }
    return this.#skipped.delete(packetNumber);
  }
}

export class NonceRecord {
  /** Keys that sealed or could seal. */
  get keys(): number {
    return this.#byKey.size;
  }
  /** Every reuse, in words. */
  readonly reuses: string[] = [];
  sealedPackets = 0;
  readonly #byKey = new Map<string, SealedNumbers>();

  /** `inner`, watched. */
  watch(inner: Primitives, owner: string): Primitives {
    const aead: AeadProvider = {
      name: inner.aead.name,
      key: (bytes) => this.#watchKey(inner.aead.key(bytes), Buffer.from(bytes).toString("hex"), owner),
    };
    return { ...inner, aead };
  }

  #watchKey(inner: AeadKey, name: string, owner: string): AeadKey {
    let numbers = this.#byKey.get(name);
    if (numbers === undefined) {
      numbers = new SealedNumbers();
      this.#byKey.set(name, numbers);
    }
    const sealed = numbers;
    return {
      seal: (bytes, adStart, textStart, textEnd, packetNumber) => {
        this.sealedPackets++;
        const isData = textStart - adStart === HEADER_BYTES;
        const text = isData ? 0 : checksum(bytes, adStart, textEnd, textStart);
        const isNew = sealed.add(packetNumber);
        if (isNew && !isData) sealed.texts.set(packetNumber, text);
        if (!isNew && (isData || sealed.texts.get(packetNumber) !== text)) {
          this.reuses.push(
            `${owner} sealed packet number ${packetNumber} again under key ${name.slice(0, 8)}…`,
          );
        }
        inner.seal(bytes, adStart, textStart, textEnd, packetNumber);
      },
      open: (bytes, adStart, textStart, textEnd, packetNumber) =>
        inner.open(bytes, adStart, textStart, textEnd, packetNumber),
    };
  }
}

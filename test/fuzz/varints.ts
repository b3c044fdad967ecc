/** Varints and the cursor that reads them: values go there and back, and no bytes make the cursor leave its range. */
import { SrudpError } from "../../src/base/errors.ts";
import { Reader } from "../../src/base/reader.ts";
import { VARINT_MAX, varintBytes, writeVarint } from "../../src/base/varint.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const GUARD = 0xa5;
const buffer = new Uint8Array(64);
const view = new DataView(buffer.buffer);
const again = new Uint8Array(16);
const reader = new Reader();
const second = new Reader();

export const varints: FuzzTarget = {
  name: "varint",
  inputsPerRun: 3000,
  weight: 4,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      goesThereAndBack(random);
      readsAnything(random);
      readsInAnyOrder(random);
    }
  },
};

function goesThereAndBack(random: Xorshift): void {
  const at = random.below(8);
  let value = random.magnitude();
  if (random.oneIn(64)) {
    value = random.pick([-1, 0.5, Number.NaN, VARINT_MAX + 1, Number.POSITIVE_INFINITY, -0.5]);
    try {
      writeVarint(buffer, at, value);
    } catch (error) {
      if (error instanceof SrudpError && error.code === "ERR_INTERNAL") return;
      throw error;
    }
    // Fractions of small numbers are cut off like any other store into bytes; nothing else may pass.
    if (value !== 0.5) broken(`a varint of ${value} was written`);
    return;
  }
  const length = varintBytes(value);
  buffer.fill(GUARD, 0, at + length + 1);
  same(writeVarint(buffer, at, value), at + length, `the end of varint ${value}`);
  if ((at > 0 && buffer[at - 1] !== GUARD) || buffer[at + length] !== GUARD) broken("written outside");
  reader.reset(buffer, at, at + length);
  same(reader.varint(), value, "the varint read back");
  if (!reader.ok || reader.remaining !== 0) broken(`varint ${value} was not read whole`);
  reader.reset(buffer, at, at + random.below(length));
  same(reader.varint(), 0, "a varint cut short");
  if (reader.ok) broken("a varint cut short was read");
}

function readsAnything(random: Xorshift): void {
  const end = random.below(12);
  random.fill(buffer, 0, end);
  if (random.oneIn(4)) buffer[0] = 0xc0 | (random.oneIn(2) ? 0 : buffer[0]! & 0x3f);
  if (random.oneIn(16)) {
    readsUpToTheLargest(random);
    return;
  }
  reader.reset(buffer, 0, end);
  const value = reader.varint();
  if (!Number.isSafeInteger(value) || value < 0 || reader.at > end) broken(`a varint of ${value}`);
  if (!reader.ok) {
    same(value, 0, "what was not there");
    same(reader.u8(), 0, "what comes after the end");
    if (reader.ok) broken("the cursor recovered");
    return;
  }
  // The encoding may be longer than need be; the shortest one means the same.
  const length = writeVarint(again, 0, value);
  if (length > reader.at) broken(`${value} came in ${reader.at} bytes`);
  second.reset(again, 0, length);
  same(second.varint(), value, "the varint written again");
}

/** Values around 2^53, in eight bytes. */
function readsUpToTheLargest(random: Xorshift): void {
  const distance = random.oneIn(2) ? random.below(4) : random.u32();
  const value = BigInt(VARINT_MAX) + BigInt(random.oneIn(2) ? distance : -distance);
  view.setBigUint64(0, value | (3n << 62n));
  reader.reset(buffer, 0, 8);
  same(reader.varint(), value <= BigInt(VARINT_MAX) ? Number(value) : 0, `what is read of ${value}`);
  same(reader.ok, value <= BigInt(VARINT_MAX), `whether ${value} is taken`);
}

function readsInAnyOrder(random: Xorshift): void {
  const end = random.below(40);
  random.fill(buffer, 0, end);
  const start = random.below(end + 1);
  reader.reset(buffer, start, end);
  let at = start;
  for (let steps = 0; steps < 6; steps++) {
    const kind = random.below(6);
    const wanted = kind === 4 ? random.below(12) : kind === 5 ? end - at : FIXED_BYTES[kind]!;
    const isThere = reader.ok && at + wanted <= end;
    if (kind >= 4) {
      const taken = kind === 4 ? reader.take(wanted) : reader.rest();
      same(taken.length, isThere ? wanted : 0, "the bytes taken");
      if (isThere && wanted > 0) same(taken.byteOffset, at, "where they were taken");
    } else {
      const expected = isThere ? readFixed(kind, at) : 0;
      const value =
        kind === 0 ? reader.u8() : kind === 1 ? reader.u16() : kind === 2 ? reader.u32() : reader.u48();
      same(value, expected, `${8 * wanted} bits`);
    }
    if (!isThere) {
      if (reader.ok) broken("read behind the end");
      break;
    }
    at += wanted;
    same(reader.at, at, "the cursor");
  }
}

const FIXED_BYTES: readonly number[] = [1, 2, 4, 6];

function readFixed(kind: number, at: number): number {
  if (kind === 0) return view.getUint8(at);
  if (kind === 1) return view.getUint16(at);
  if (kind === 2) return view.getUint32(at);
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
}

import { randomBytes } from "node:crypto";
import { crc32 as zlibCrc32 } from "node:zlib";
import { expect, it } from "vitest";
import { utf8Encode } from "../../../src/base/bytes.ts";
import { crc32 } from "../../../src/wire/crc32.ts";

it("agrees with the check value of its catalogue and with zlib", () => {
  expect(crc32(utf8Encode("123456789"))).toBe(0xcbf43926);
  for (let length = 0; length < 100; length++) {
    const bytes = randomBytes(length);
    expect(crc32(bytes)).toBe(zlibCrc32(bytes));
  }
});

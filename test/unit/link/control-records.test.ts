import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../src/base/bytes.ts";
import {
  ControlReader,
  encodeReceipt,
  encodeRecord,
  type Receipt,
} from "../../../src/link/control-records.ts";

const receipt: Receipt = {
  streamId: 4,
  bytes: 2 ** 40 + 1,
  sha256: Uint8Array.from({ length: 32 }, (_, i) => i),
};

let records: [type: number, ...body: number[]][] = [];

function read(...pieces: Uint8Array[]): Receipt[] {
  const receipts: Receipt[] = [];
  records = [];
  const reader = new ControlReader();
  for (const piece of pieces) {
    reader.push(piece);
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.kind === "receipt") receipts.push(record.receipt);
      else records.push([record.type, ...record.body]);
    }
  }
  return receipts;
}

describe("control records", () => {
  it("come back as they were, however they are cut", () => {
    const record = encodeReceipt(receipt);
    for (let cut = 0; cut <= record.length; cut++) {
      expect(read(record.subarray(0, cut), record.subarray(cut))).toEqual([receipt]);
    }
  });

  it("come one behind the other", () => {
    const second = { ...receipt, streamId: 8, bytes: 0 };
    expect(read(concatBytes(encodeReceipt(receipt), encodeReceipt(second)))).toEqual([receipt, second]);
  });

  it("of other types go to whoever knows them", () => {
    const other = encodeRecord(0x21, Uint8Array.of(9, 8));
    expect(read(concatBytes(encodeReceipt(receipt), other))).toEqual([receipt]);
    expect(records).toEqual([[0x21, 9, 8]]);
  });

  it("of unknown types are passed over", () => {
    const unknown = Uint8Array.from([0x21, 3, 9, 9, 9]);
    expect(read(concatBytes(unknown, encodeReceipt(receipt)))).toEqual([receipt]);
  });

  it.each([
    ["too long a record", Uint8Array.from([0x01, 0x80, 0, 0x40, 0])],
    ["a receipt that is cut short", Uint8Array.from([0x01, 3, 1, 1, 1])],
    [
      "a receipt with something behind it",
      concatBytes(Uint8Array.from([0x01, 0x40, 60]), new Uint8Array(60)),
    ],
    ["numbers beyond all bounds", new Uint8Array(16).fill(0xff)],
  ])("refuse %s", (_, bytes) => {
    expect(() => read(bytes)).toThrow(expect.objectContaining({ code: "ERR_PROTOCOL" }));
  });
});

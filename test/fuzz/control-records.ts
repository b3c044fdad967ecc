/** Records of the control stream: read the same however the stream was cut up, and bounded whatever it says. */
import { SrudpError } from "../../src/base/errors.ts";
import { writeVarint } from "../../src/base/varint.ts";
import { ControlReader, encodeReceipt, type Receipt } from "../../src/link/control-records.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const stream = new Uint8Array(4096);

export const controlRecords: FuzzTarget = {
  name: "control-record",
  inputsPerRun: 200,
  weight: 2,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 2) {
      const given: Receipt[] = [];
      let length = 0;
      for (let records = random.below(8); records > 0; records--) {
        if (random.oneIn(4)) {
          // A record of a later version.
          const body = random.below(60);
          length = writeVarint(stream, length, 2 + Math.floor(random.magnitude() / 2));
          length = writeVarint(stream, length, body) + body;
          continue;
        }
        const receipt = { streamId: random.magnitude(), bytes: random.magnitude(), sha256: random.bytes(32) };
        given.push(receipt);
        const record = encodeReceipt(receipt);
        stream.set(record, length);
        length += record.length;
      }
      const read = readPieces(random, length);
      same(read?.length, given.length, "the number of receipts");
      for (const [i, { streamId, bytes, sha256 }] of given.entries()) {
        same(read![i]!.streamId, streamId, "the stream");
        same(read![i]!.bytes, bytes, "the bytes");
        same(Buffer.compare(read![i]!.sha256, sha256), 0, "the hash");
      }
      readPieces(random, random.mutate(stream, length));
    }
  },
};

function readPieces(random: Xorshift, length: number): Receipt[] | undefined {
  const receipts: Receipt[] = [];
  const reader = new ControlReader();
  try {
    for (let at = 0; at < length; ) {
      const next = Math.min(length, at + 1 + random.below(random.oneIn(2) ? 4 : 200));
      reader.push(stream.subarray(at, next));
      for (let record = reader.next(); record !== undefined; record = reader.next())
        if (record.kind === "receipt") receipts.push(record.receipt);
      at = next;
    }
  } catch (error) {
    if (error instanceof SrudpError && error.code === "ERR_PROTOCOL") return undefined;
    throw error;
  }
  for (const { streamId, bytes } of receipts) {
    if (!(streamId >= 0 && bytes >= 0)) broken(`a receipt for stream ${streamId}, ${bytes} bytes`);
  }
  return receipts;
}

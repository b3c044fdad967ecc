/** The walk over a received buffer: headers tell where packets end, and junk never leads it out or round in circles. */
import {
  epochOf,
  HEADER_BYTES,
  isAddressedTo,
  isDataPacket,
  PACKET_DATA,
  packetNumberOf,
  sealedBytesOf,
  TAG_BYTES,
  writeHeader,
} from "../../src/wire/packet.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const BUFFER_BYTES = 2048;
const PACKETS = 8;
const buffer = new Uint8Array(BUFFER_BYTES + 64);
const connectionId = new Uint8Array(8);
const starts = new Uint16Array(PACKETS);
const numbers = new Float64Array(PACKETS);
const epochs = new Uint8Array(PACKETS);
const lengths = new Uint16Array(PACKETS);

export const packetHeaders: FuzzTarget = {
  name: "packet-header",
  inputsPerRun: 2000,
  weight: 6,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input++) {
      if (random.oneIn(4)) walksOverJunk(random);
      else walksOverPackets(random);
    }
  },
};

function walksOverPackets(random: Xorshift): void {
  random.fill(connectionId, 0, 8);
  const packets = 1 + random.below(PACKETS);
  let end = 0;
  for (let i = 0; i < packets; i++) {
    const sealed = TAG_BYTES + random.below(200);
    starts[i] = end;
    numbers[i] = Math.min(random.magnitude(), 2 ** 48 - 1 - random.below(3));
    epochs[i] = random.below(4);
    lengths[i] = sealed;
    const text = writeHeader(
      buffer,
      end,
      epochs[i]! + 4 * random.below(9),
      connectionId,
      numbers[i]!,
      sealed,
    );
    same(text, end + HEADER_BYTES, "the end of the header");
    // What is inside must not matter.
    buffer.fill(random.oneIn(2) ? PACKET_DATA : random.u32(), text, text + sealed);
    end = text + sealed;
  }
  let at = 0;
  for (let i = 0; i < packets; i++) {
    same(at, starts[i], "where a packet begins");
    if (!isDataPacket(buffer, at, end)) broken(`packet ${i} was not found`);
    same(packetNumberOf(buffer, at), numbers[i], "the packet number");
    same(epochOf(buffer, at), epochs[i], "the epoch");
    same(sealedBytesOf(buffer, at), lengths[i], "the length");
    if (!isAddressedTo(buffer, at, connectionId)) broken("the connection ID is another one");
    if (isDataPacket(buffer, at, at + HEADER_BYTES + lengths[i]! - 1)) broken("a packet cut short was found");
    at += HEADER_BYTES + lengths[i]!;
  }
  same(at, end, "the end of the walk");
  walk(buffer, random.mutate(buffer, end, BUFFER_BYTES));
}

function walksOverJunk(random: Xorshift): void {
  const end = random.below(120);
  random.fill(buffer, 0, end);
  buffer[0] = PACKET_DATA | (random.below(4) << 1);
  if (random.oneIn(2)) buffer[15] = 0;
  walk(buffer, end);
}

/** As a connection does it. */
function walk(bytes: Uint8Array, end: number): void {
  let at = 0;
  while (at < end && isDataPacket(bytes, at, end)) {
    const next = at + HEADER_BYTES + sealedBytesOf(bytes, at);
    if (next < at + HEADER_BYTES + TAG_BYTES || next > end)
      broken(`a packet from ${at} to ${next} of ${end}`);
    const packetNumber = packetNumberOf(bytes, at);
    if (!(Number.isSafeInteger(packetNumber) && packetNumber >= 0 && packetNumber < 2 ** 48)) {
      broken(`packet number ${packetNumber}`);
    }
    if (epochOf(bytes, at) > 3) broken("an epoch beyond 3");
    at = next;
  }
}

/** Reads the header of a connection without reading any byte after it. */
import type { Readable } from "node:stream";
import { concatBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { HEAD_LIMIT_BYTES } from "../../link/forward-records.ts";

/**
 * Reads the next `byteLength` bytes of `source`, which must have no other reader.
 *
 * @throws SrudpError ERR_PEER_RESET when `source` ends early; otherwise the error of `source`
 */
export async function readExactly(source: Readable, byteLength: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let missing = byteLength;
  while (missing > 0) {
    if (source.errored) throw source.errored;
    // Reads at most what is available. Otherwise unread bytes would make 'readable' fire at once,
    // again and again.
    const available = Math.min(missing, source.readableLength);
    const piece: Uint8Array | null = available > 0 ? source.read(available) : null;
    if (piece !== null) {
      pieces.push(piece);
      missing -= piece.length;
    } else if (source.readableEnded || source.destroyed) throw new SrudpError("ERR_PEER_RESET");
    else await waitForBytes(source);
  }
  return pieces.length === 1 ? pieces[0]! : concatBytes(...pieces);
}

/**
 * Reads a piece that is preceded by its length, a varint. @throws SrudpError ERR_PROTOCOL for a
 * piece that is too long; the errors of `readExactly`
 */
export async function readPiece(
  source: Readable,
  limitBytes: number = HEAD_LIMIT_BYTES,
): Promise<Uint8Array> {
  const [first] = await readExactly(source, 1);
  let length = first! & 0x3f;
  const further = (1 << (first! >> 6)) - 1;
  if (further > 3) throw new SrudpError("ERR_PROTOCOL", "piece too long");
  if (further > 0) for (const byte of await readExactly(source, further)) length = length * 256 + byte;
  if (length > limitBytes) throw new SrudpError("ERR_PROTOCOL", "piece too long");
  return length === 0 ? new Uint8Array(0) : readExactly(source, length);
}

function waitForBytes(source: Readable): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      for (const event of EVENTS) source.off(event, wake);
      resolve();
    };
    for (const event of EVENTS) source.on(event, wake);
  });
}

const EVENTS = ["readable", "end", "error", "close"] as const;

/** A stranger with a plain UDP socket that tries a code or passphrase as fast as it can. */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:dgram";
import type { Credentials } from "../../src/engine/handshake/handshake.ts";
import { HEADER_BYTES, TAG_BYTES, writeHeader } from "../../src/wire/packet.ts";
import { newInitiator } from "../unit/engine/handshake-sides.ts";
import { openUdp } from "./udp.ts";

/** What became of a guess: a notice, an answer that only the right words get, or nothing for a second. */
export type GuessOutcome = "refused" | "busy" | "accepted" | "silence";

const NOTICE = 0xe0;
const NOISE_2 = 0xd3;
const BUSY = 2;
const SILENCE_MS = 1000;

export interface GuessOptions {
  /** Puts each message but the first behind a data packet, in one datagram. */
  readonly isHidden?: boolean;
}

/** One run of the PAKE from `address` (of the loopback network) against the listener at 127.0.0.1. */
export async function guess(
  port: number,
  address: string,
  credentials: Credentials,
  options: GuessOptions = {},
): Promise<GuessOutcome> {
  const socket = await openUdp(address);
  try {
    return await guessBy(socket, port, credentials, options);
  } finally {
    socket.close();
  }
}

function guessBy(
  socket: Socket,
  port: number,
  credentials: Credentials,
  { isHidden = false }: GuessOptions,
): Promise<GuessOutcome> {
  const mode = credentials.code === undefined ? "passphrase" : "code";
  const initiator = newInitiator(mode, {
    credentials,
    connectionId: new Uint8Array(randomBytes(8)),
    random: (byteLength) => new Uint8Array(randomBytes(byteLength)),
  });
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve("silence"), SILENCE_MS);
    const send = (): void => {
      const packet = initiator.pollTransmit();
      if (packet === undefined) return;
      const isFirst = packet.subarray(3, 11).every((byte) => byte === 0);
      socket.send(isHidden && !isFirst ? behindData(packet) : packet, port, "127.0.0.1");
    };
    const finish = (outcome: GuessOutcome): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    socket.on("message", (message) => {
      if (message[0] === NOTICE) finish(message[1] === BUSY ? "busy" : "refused");
      else if (message[0] === NOISE_2) finish("accepted");
      else {
        initiator.handlePacket(performance.now(), new Uint8Array(message));
        send();
      }
    });
    initiator.start(performance.now());
    send();
  });
}

/** `packet` behind a data packet for the same connection that holds nothing and does not open. */
function behindData(packet: Uint8Array): Uint8Array {
  const sealedBytes = TAG_BYTES;
  const datagram = new Uint8Array(HEADER_BYTES + sealedBytes + packet.length);
  const at = writeHeader(datagram, 0, 0, packet.subarray(3, 11), 0, sealedBytes);
  datagram.set(packet, at + sealedBytes);
  return datagram;
}

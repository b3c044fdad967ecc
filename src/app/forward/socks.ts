/**
 * The server's side of SOCKS5, as far as `ssh -D` goes: CONNECT, to a name or an address, without authentication.
 * Names are resolved where the connection is made.  // RFC 1928
 */
import { SocketAddress } from "node:net";
import type { Duplex } from "node:stream";
import { utf8Decode } from "../../base/bytes.ts";
import type { ErrorCode, SrudpError } from "../../base/errors.ts";
import type { Address } from "../../net/forward-wire.ts";
import { readExactly } from "./head-reader.ts";

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_METHOD = 0xff;
const CONNECT = 1;
const ADDRESS = { ipv4: 1, name: 3, ipv6: 4 } as const;
/** RFC 1928 §6 */
const REPLY = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  expired: 6,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const;

/** Where a client wants to go; undefined when it spoke no SOCKS5 or asked for something else, and was told so. */
export async function readSocksRequest(client: Duplex): Promise<Address | undefined> {
  const [version, methods] = await readExactly(client, 2);
  if (version !== VERSION) return dismiss(client);
  const offered = await readExactly(client, methods!);
  if (!offered.includes(NO_AUTHENTICATION)) return dismiss(client, Uint8Array.of(VERSION, NO_METHOD));
  client.write(Uint8Array.of(VERSION, NO_AUTHENTICATION));
  const [, command, , addressType] = await readExactly(client, 4);
  const host = await readHost(client, addressType!);
  if (host === undefined) return dismiss(client, reply(REPLY.addressNotSupported));
  const [high, low] = await readExactly(client, 2);
  if (command !== CONNECT) return dismiss(client, reply(REPLY.commandNotSupported));
  return { kind: "tcp", host, port: high! * 256 + low! };
}

/** Tells the client that it is connected: what follows belongs to the target. */
export function acceptSocks(client: Duplex): void {
  client.write(reply(REPLY.succeeded));
}

/** Tells the client why it is not, and ends. */
export function refuseSocks(client: Duplex, error: SrudpError): void {
  dismiss(client, reply(CODES[error.code] ?? REPLY.failure));
}

function dismiss(client: Duplex, lastWords: Uint8Array = new Uint8Array(0)): undefined {
  client.end(lastWords);
  // Only who reads to the client's end hears that it has gone.
  client.resume();
}

async function readHost(client: Duplex, addressType: number): Promise<string | undefined> {
  switch (addressType) {
    case ADDRESS.ipv4:
      return (await readExactly(client, 4)).join(".");
    case ADDRESS.ipv6: {
      const bytes = await readExactly(client, 16);
      const groups = Array.from({ length: 8 }, (_, i) =>
        (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16),
      );
      return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
    }
    case ADDRESS.name: {
      const [length] = await readExactly(client, 1);
      return utf8Decode(await readExactly(client, length!));
    }
    default:
      return undefined;
  }
}

/** The bound address, which no client looks at, is left at zero. */
function reply(code: number): Uint8Array {
  return Uint8Array.of(VERSION, code, 0, ADDRESS.ipv4, 0, 0, 0, 0, 0, 0);
}

const CODES: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_TARGET_FORBIDDEN: REPLY.notAllowed,
  ERR_TARGET_REFUSED: REPLY.refused,
  ERR_TARGET_NO_NETWORK: REPLY.networkUnreachable,
  ERR_TARGET_UNREACHABLE: REPLY.hostUnreachable,
  ERR_TARGET_UNKNOWN: REPLY.hostUnreachable,
  ERR_TARGET_TIMEOUT: REPLY.expired,
};

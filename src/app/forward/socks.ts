/**
 * The server side of SOCKS, with the subset that `ssh -D` supports: CONNECT to a name or an
 * address, without authentication, in versions 5 (RFC 1928), 4 and 4A. Names are resolved on the
 * machine that makes the connection.
 */
import { SocketAddress } from "node:net";
import type { Duplex } from "node:stream";
import { utf8Decode } from "../../base/bytes.ts";
import type { ErrorCode, SrudpError } from "../../base/errors.ts";
import type { Address } from "../../link/forward-records.ts";
import { readExactly } from "./head-reader.ts";

/** The request of a client that waits for `accept` or `refuse`. */
export interface SocksRequest {
  readonly target: Address;
  /** Reports success to the client. All later bytes belong to the target. */
  accept(): void;
  /** Reports the failure to the client and ends its connection. */
  refuse(error: SrudpError): void;
}

const CONNECT = 1;

/**
 * Reads the request of a client. Returns undefined if the client sent no SOCKS, or a command that
 * is not supported; the client has then received an error.
 */
export async function readSocksRequest(client: Duplex): Promise<SocksRequest | undefined> {
  const [version] = await readExactly(client, 1);
  if (version === 5) return readVersion5(client);
  if (version === 4) return readVersion4(client);
  return dismiss(client);
}

const NO_AUTHENTICATION = 0;
const NO_METHOD = 0xff;
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

const REPLIES: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_TARGET_FORBIDDEN: REPLY.notAllowed,
  ERR_TARGET_REFUSED: REPLY.refused,
  ERR_TARGET_NO_NETWORK: REPLY.networkUnreachable,
  ERR_TARGET_UNREACHABLE: REPLY.hostUnreachable,
  ERR_TARGET_UNKNOWN: REPLY.hostUnreachable,
  ERR_TARGET_TIMEOUT: REPLY.expired,
};

async function readVersion5(client: Duplex): Promise<SocksRequest | undefined> {
  const [methods] = await readExactly(client, 1);
  const offered = await readExactly(client, methods!);
  if (!offered.includes(NO_AUTHENTICATION)) return dismiss(client, Uint8Array.of(5, NO_METHOD));
  client.write(Uint8Array.of(5, NO_AUTHENTICATION));
  const [, command, , addressType] = await readExactly(client, 4);
  const host = await readHost(client, addressType!);
  if (host === undefined) return dismiss(client, reply5(REPLY.addressNotSupported));
  const port = portIn(await readExactly(client, 2));
  if (command !== CONNECT) return dismiss(client, reply5(REPLY.commandNotSupported));
  return {
    target: { kind: "tcp", host, port },
    accept: () => void client.write(reply5(REPLY.succeeded)),
    refuse: ({ code }) => dismiss(client, reply5(REPLIES[code] ?? REPLY.failure)),
  };
}

async function readHost(client: Duplex, addressType: number): Promise<string | undefined> {
  switch (addressType) {
    case ADDRESS.ipv4:
      return (await readExactly(client, 4)).join(".");
    case ADDRESS.ipv6: {
      const bytes = await readExactly(client, 16);
      const groups = Array.from({ length: 8 }, (_, i) => portIn(bytes.subarray(2 * i)).toString(16));
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

/** Clients ignore the bound address, so it stays zero. */
function reply5(code: number): Uint8Array {
  return Uint8Array.of(5, code, 0, ADDRESS.ipv4, 0, 0, 0, 0, 0, 0);
}

/** Version 4 has only these two replies. */
const GRANTED = 90;
const REJECTED = 91;
/** Maximum length of a user ID or a host name. */
const TEXT_LIMIT_BYTES = 255;

async function readVersion4(client: Duplex): Promise<SocksRequest | undefined> {
  const [command, ...rest] = await readExactly(client, 7);
  const address = rest.slice(2);
  const user = await readText(client);
  // Version 4A marks a following host name with an address of the form 0.0.0.x.
  const isNamed = address[3] !== 0 && address.slice(0, 3).every((byte) => byte === 0);
  const host = isNamed ? await readText(client) : address.join(".");
  if (command !== CONNECT || user === undefined || host === undefined)
    return dismiss(client, reply4(REJECTED));
  return {
    target: { kind: "tcp", host, port: portIn(rest) },
    accept: () => void client.write(reply4(GRANTED)),
    refuse: () => dismiss(client, reply4(REJECTED)),
  };
}

/** Reads up to the next zero byte. Returns undefined if the text is too long. */
async function readText(client: Duplex): Promise<string | undefined> {
  const bytes: number[] = [];
  while (bytes.length <= TEXT_LIMIT_BYTES) {
    const [byte] = await readExactly(client, 1);
    if (byte === 0) return utf8Decode(Uint8Array.from(bytes));
    bytes.push(byte!);
  }
  return undefined;
}

function reply4(code: number): Uint8Array {
  return Uint8Array.of(0, code, 0, 0, 0, 0, 0, 0);
}

function portIn([high, low]: Iterable<number>): number {
  return high! * 256 + low!;
}

function dismiss(client: Duplex, lastWords: Uint8Array = new Uint8Array(0)): undefined {
  client.end(lastWords);
  // The end of the client's stream is only reported to a reader that reads up to it.
  client.resume();
}

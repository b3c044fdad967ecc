/** The server's side of SOCKS: what clients ask for, what they are told, and that their sockets are let go. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSocksRequest, type SocksRequest } from "../../../src/app/forward/socks.ts";
import { SrudpError } from "../../../src/base/errors.ts";
import type { Address } from "../../../src/link/forward-records.ts";

let server: Server;
let accepted: Socket;
/** What the proxy's side does with a request. */
let handle: (request: SocksRequest, client: Socket) => void;
let asked: Address | undefined;

beforeEach(async () => {
  asked = undefined;
  handle = () => undefined;
  server = createServer({ allowHalfOpen: true }, async (socket) => {
    accepted = socket;
    const request = await readSocksRequest(socket);
    asked = request?.target;
    if (request !== undefined) handle(request, socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => void server.close());

/** What a client hears that says this and then waits for the end. */
async function heardBy(...said: number[]): Promise<number[]> {
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  const pieces: Buffer[] = [];
  socket.on("data", (piece) => pieces.push(piece));
  socket.write(Uint8Array.from(said));
  await once(socket, "end");
  socket.end();
  return [...Buffer.concat(pieces)];
}

const GREETING = [5, 1, 0];
const TO_PORT_80 = [0, 80];

describe("a request", () => {
  const refusal = new SrudpError("ERR_TARGET_REFUSED");

  it.each<[string, number[], string]>([
    ["an IPv4 address", [1, 127, 0, 0, 1], "127.0.0.1"],
    ["an IPv6 address", [4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], "2001:db8::7"],
    ["a name", [3, 6, ...Buffer.from("a.test")], "a.test"],
  ])("names %s, and its refusal is the last that is heard", async (_, target, host) => {
    handle = (request) => request.refuse(refusal);
    const heard = await heardBy(...GREETING, 5, 1, 0, ...target, ...TO_PORT_80);
    expect(asked).toEqual({ kind: "tcp", host, port: 80 });
    expect(heard).toEqual([5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    if (!accepted.closed) await once(accepted, "close");
  });

  it.each<[string, number[], string]>([
    ["an address", [127, 0, 0, 1, ...Buffer.from("me"), 0], "127.0.0.1"],
    ["a name", [0, 0, 0, 7, 0, ...Buffer.from("a.test"), 0], "a.test"],
  ])("of version 4 names %s as well", async (_, target, host) => {
    handle = (request) => request.refuse(refusal);
    expect(await heardBy(4, 1, ...TO_PORT_80, ...target)).toEqual([0, 91, 0, 0, 0, 0, 0, 0]);
    expect(asked).toEqual({ kind: "tcp", host, port: 80 });
    handle = (request, client) => {
      request.accept();
      client.end();
    };
    expect(await heardBy(4, 1, ...TO_PORT_80, ...target)).toEqual([0, 90, 0, 0, 0, 0, 0, 0]);
  });

  it("leaves what comes behind it to the target", async () => {
    handle = (request, client) => {
      request.accept();
      client.pipe(client);
    };
    const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
    socket.end(Uint8Array.from([...GREETING, 5, 1, 0, 1, 127, 0, 0, 1, ...TO_PORT_80, 1, 2, 3]));
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    expect([...Buffer.concat(pieces)].slice(-3)).toEqual([1, 2, 3]);
  });
});

describe("a client that wants something else", () => {
  it.each<[string, number[], number[]]>([
    ["another protocol", [...Buffer.from("GET / HTTP/1.1\r\n\r\n")], []],
    ["a password", [5, 1, 2], [5, 0xff]],
    ["BIND", [...GREETING, 5, 2, 0, 1, 127, 0, 0, 1, ...TO_PORT_80], [5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
    ["BIND of version 4", [4, 2, ...TO_PORT_80, 127, 0, 0, 1, 0], [0, 91, 0, 0, 0, 0, 0, 0]],
    [
      "an endless name",
      [4, 1, ...TO_PORT_80, 127, 0, 0, 1, ...Buffer.alloc(300, 97)],
      [0, 91, 0, 0, 0, 0, 0, 0],
    ],
    ["an address of no kind", [...GREETING, 5, 1, 0, 9], [5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0]],
  ])("(%s) is told so, and its socket is let go", async (_, said, hears) => {
    expect(await heardBy(...said)).toEqual(hears);
    expect(asked).toBeUndefined();
    // It may be closed already.
    if (!accepted.closed) await once(accepted, "close");
  });
});

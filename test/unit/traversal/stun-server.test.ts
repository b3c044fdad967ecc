import { expect, it } from "vitest";
import { PUBLIC_STUN_SERVERS, parseStunServer } from "../../../src/traversal/gather/stun-server.ts";

it("reads a server as people and RFC 7064 write it", () => {
  expect(parseStunServer("stun.example.org:5000")).toEqual({ host: "stun.example.org", port: 5000 });
  expect(parseStunServer("stun:stun.example.org")).toEqual({ host: "stun.example.org", port: 3478 });
  expect(parseStunServer("192.0.2.1")).toEqual({ host: "192.0.2.1", port: 3478 });
  expect(parseStunServer("[2001:db8::1]:3479")).toEqual({ host: "2001:db8::1", port: 3479 });
});

it("refuses what is no server", () => {
  for (const text of [
    "",
    "host:0",
    "host:65536",
    "host:x",
    "2001:db8::1",
    "turn:host",
    "a b",
    "user@host",
    "h:1:2",
  ])
    expect(() => parseStunServer(text), text).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
});

it("has public servers of several operators that can be read back", () => {
  const operators = new Set(PUBLIC_STUN_SERVERS.map(({ host }) => host.split(".").slice(-2).join(".")));
  expect(operators.size).toBeGreaterThanOrEqual(4);
  for (const server of PUBLIC_STUN_SERVERS)
    expect(parseStunServer(`${server.host}:${server.port}`)).toEqual(server);
});

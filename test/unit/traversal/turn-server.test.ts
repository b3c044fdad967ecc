import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect, it } from "vitest";
import {
  describeTurn,
  parseTurnUri,
  readTurnFile,
  takeEnvironmentTurn,
} from "../../../src/traversal/relay/turn-server.ts";

it("reads servers as RFC 7065 writes them, with the usual ports", () => {
  expect(parseTurnUri("turn:relay.example.org")).toMatchObject({
    host: "relay.example.org",
    port: 3478,
    transport: "any",
    credentials: undefined,
  });
  expect(parseTurnUri("turn:192.0.2.1:5000?transport=udp")).toMatchObject({ port: 5000, transport: "udp" });
  expect(parseTurnUri("turn:[2001:db8::1]?transport=tcp")).toMatchObject({
    host: "2001:db8::1",
    transport: "tcp",
  });
  expect(parseTurnUri("turns:relay.example.org?transport=tcp")).toMatchObject({
    port: 5349,
    transport: "tls",
  });
});

it("reads user and password, percent-decoded, and shows neither", () => {
  const server = parseTurnUri("turn:al%3Aice:p%40ss:word@relay.example.org:99");
  expect(server.credentials?.reveal()).toEqual({ username: "al:ice", password: "p@ss:word" });
  expect(inspect(server) + JSON.stringify(server) + describeTurn(server)).not.toMatch(/al:ice|ss:word/);
  expect(describeTurn(server)).toBe("turn:relay.example.org:99");
});

it("refuses what is no TURN URI and repeats nothing of it", () => {
  const wrong = [
    "",
    "relay.example.org",
    "stun:relay.example.org",
    "turn:",
    "turn:secret@host",
    "turn::secret@host",
    "turn:u:%secret@host",
    "turn:u:secret@host:0",
    "turn:u:secret@host:99999",
    "turn:u:secret@host?transport=sctp",
    "turns:u:secret@host?transport=udp",
    "turn:u:secret@2001:db8::1",
  ];
  for (const text of wrong) {
    expect(() => parseTurnUri(text), text).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
    expect(() => parseTurnUri(text)).toThrow(/^(?!.*secret).*$/s);
  }
});

it("reads a private file of servers, and none that others may read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "srudp-turn-"));
  const file = join(folder, "turn");
  try {
    writeFileSync(file, "# ours\nturn:u:p@one.example.org\n\n  turns:two.example.org\n", { mode: 0o600 });
    expect(await readTurnFile(file)).toEqual(["turn:u:p@one.example.org", "turns:two.example.org"]);
    chmodSync(file, 0o644);
    await expect(readTurnFile(file)).rejects.toMatchObject({ code: "ERR_KEY_FILE" });
    await expect(readTurnFile(join(folder, "none"))).rejects.toMatchObject({ code: "ERR_FILE_UNREADABLE" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("takes servers out of the environment", () => {
  const environment = { SRUDP_TURN: " turn:u:p@one.example.org turns:two.example.org " };
  expect(takeEnvironmentTurn(environment)).toEqual(["turn:u:p@one.example.org", "turns:two.example.org"]);
  expect(environment).toEqual({});
  expect(takeEnvironmentTurn(environment)).toEqual([]);
});

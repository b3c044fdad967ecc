import { describe, expect, it } from "vitest";
import type { Path } from "../../../src/base/path.ts";
import type { Handshake } from "../../../src/engine/handshake/handshake.ts";
import { HandshakeRoute } from "../../../src/engine/handshake/handshake-route.ts";
import { PACKET_HANDSHAKE } from "../../../src/wire/packet.ts";

const EPHEMERAL: Path = { address: "192.0.2.7", port: 4242, socket: 0 };
const SECOND: Path = { address: "192.0.2.8", port: 4242, socket: 0 };
const CROSSING: Path = { address: "192.0.2.7", port: 4242, socket: 1 };
const RESEND_MS = 1000;
/** The first bytes of a pakeAnswer and of a pakeOpen: the route looks at no more. */
const ANSWER = Uint8Array.of(PACKET_HANDSHAKE | 1, 0, 0);
const FIRST = Uint8Array.of(PACKET_HANDSHAKE, 0, 0);

/** A handshake that sends one message again and again until it is told that an answer is good. */
class FakeHandshake {
  readonly role: "initiator" | "responder";
  readonly keys = undefined;
  readonly request: Uint8Array | undefined;
  timeoutAt = RESEND_MS;
  #pending: Uint8Array | undefined;
  readonly #reply = Uint8Array.of(2);

  constructor(role: "initiator" | "responder" = "initiator") {
    this.role = role;
    this.request = role === "initiator" ? Uint8Array.of(1) : undefined;
  }

  start(): void {
    this.#pending = this.request;
  }

  handleTimeout(nowMs: number): void {
    this.timeoutAt = nowMs + RESEND_MS;
    this.#pending = this.request;
  }

  handlePacket(): "advanced" | "repeat" {
    this.#pending = this.request ?? this.#reply;
    return this.role === "initiator" ? "advanced" : "repeat";
  }

  pollTransmit(): Uint8Array | undefined {
    const packet = this.#pending;
    this.#pending = undefined;
    return packet;
  }
}

function routeOf(candidates: readonly Path[], role?: "initiator" | "responder"): HandshakeRoute {
  return new HandshakeRoute(0, new FakeHandshake(role) as unknown as Handshake, candidates);
}

/** The paths that something leaves over at `nowMs`, in order. */
function sent(route: HandshakeRoute, nowMs: number): Path[] {
  const into = { buffer: new Uint8Array(8), length: 0, segmentBytes: 0, path: EPHEMERAL };
  const paths: Path[] = [];
  while (route.pollTransmit(nowMs, into)) paths.push(into.path);
  return paths;
}

describe("the paths of a handshake", () => {
  it("keep their turns when another one is added", () => {
    const route = routeOf([EPHEMERAL, SECOND]);
    expect(sent(route, 0)).toEqual([EPHEMERAL]);
    route.addCandidate(CROSSING);
    expect(sent(route, 50)).toEqual([CROSSING]);
    expect(route.timeoutAt).toBe(250);
    route.handleTimeout(250);
    expect(sent(route, 250)).toEqual([SECOND]);
  });

  it("get each answer in the order in which they asked, even when they ask at once", () => {
    const route = routeOf([], "responder");
    route.handlePacket(0, EPHEMERAL, FIRST);
    route.handlePacket(0, CROSSING, FIRST);
    expect(sent(route, 0)).toEqual([EPHEMERAL, CROSSING]);
  });
});

describe("a secondary path", () => {
  function withSecondary(): HandshakeRoute {
    const route = routeOf([EPHEMERAL]);
    sent(route, 0);
    route.addSecondary(CROSSING);
    expect(sent(route, 50)).toEqual([CROSSING]);
    return route;
  }

  it("is called a moment after the others, each time", () => {
    const route = withSecondary();
    for (const nowMs of [1000, 2000]) {
      route.handleTimeout(nowMs);
      expect(sent(route, nowMs)).toEqual([EPHEMERAL]);
      expect(route.timeoutAt).toBe(nowMs + 50);
      route.handleTimeout(nowMs + 50);
      expect(sent(route, nowMs + 50)).toEqual([CROSSING]);
    }
  });

  it("is not used while another one may still answer", () => {
    const route = withSecondary();
    expect(route.handlePacket(60, CROSSING, ANSWER)).toBe("ignored");
    expect(sent(route, 60)).toEqual([EPHEMERAL]);
    expect(route.handlePacket(65, EPHEMERAL, ANSWER)).toBe("advanced");
    expect(sent(route, 65)).toEqual([EPHEMERAL]);
  });

  it("is used when the others stay silent once more", () => {
    const route = withSecondary();
    route.handlePacket(60, CROSSING, ANSWER);
    sent(route, 60);
    route.handleTimeout(110);
    expect(sent(route, 110)).toEqual([CROSSING]);
    expect(route.handlePacket(115, CROSSING, ANSWER)).toBe("advanced");
    expect(sent(route, 115)).toEqual([CROSSING, EPHEMERAL]);
  });
});

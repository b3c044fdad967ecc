import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { decodeTicket, encodeTicket, looksLikeTicket, type Ticket } from "../../../src/wire/ticket.ts";
import { anySignal } from "./signals.ts";

const OFFER: Ticket = {
  kind: "offer",
  expiresAtS: 1_800_000_600,
  psk: Uint8Array.from({ length: 32 }, (_, i) => i),
  signal: {
    role: "responder",
    generation: 1,
    attempt: 1,
    sessionNonce: new Uint8Array(16),
    sentAtS: 1_800_000_000,
    nat: { mapping: "endpointIndependent", filtering: "unknown", portPattern: "unknown", isHard: false },
    candidates: [{ kind: "host", address: "192.0.2.7", port: 4242, family: 4 }],
    hasOpened: false,
  },
};
const TEXT = encodeTicket(OFFER);

function refusal(text: string): SrudpError {
  try {
    decodeTicket(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SrudpError);
    return error as SrudpError;
  }
  throw new Error("the ticket was accepted");
}

describe("a ticket", () => {
  it("comes back as it was, offer and answer, however long", () => {
    fc.assert(
      fc.property(anySignal(64), fc.uint8Array({ minLength: 32, maxLength: 32 }), (signal, psk) => {
        const decoded = decodeTicket(encodeTicket({ kind: "offer", expiresAtS: 7, psk, signal }));
        expect(decoded).toMatchObject({ kind: "offer", expiresAtS: 7, psk });
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 936 }), (sealedSignal) => {
        const answer: Ticket = { kind: "answer", sealedSignal };
        expect(decodeTicket(encodeTicket(answer))).toEqual(answer);
      }),
    );
    expect(decodeTicket(TEXT)).toEqual(OFFER);
  });

  it("survives blanks and the line breaks of mail programs", () => {
    expect(decodeTicket(` ${TEXT.replace(/.{40}/g, "$&\r\n  ")}\n`)).toEqual(OFFER);
    expect(looksLikeTicket(` ${TEXT}`)).toBe(true);
    expect(looksLikeTicket("42-ocean-lizard-maple")).toBe(false);
  });

  it("is refused when any one character is changed, lost or doubled, without being repeated", () => {
    for (let i = 0; i < TEXT.length; i++) {
      const other = TEXT[i] === "A" ? "B" : "A";
      for (const wrong of [
        TEXT.slice(0, i) + other + TEXT.slice(i + 1),
        TEXT.slice(0, i) + TEXT.slice(i + 1),
        TEXT.slice(0, i) + other + TEXT.slice(i),
      ]) {
        const error = refusal(wrong);
        expect(error.code).toBe("ERR_TICKET_FORMAT");
        expect(error.message).not.toContain(TEXT.slice(20, 40));
        expect(error.cause).toBeUndefined();
      }
    }
  });

  it("is refused when it is empty, endless, or something else", () => {
    for (const wrong of ["", "srudpt1", "x".repeat(1 << 20), TEXT.toUpperCase(), "srudp1qqqq"])
      expect(refusal(wrong).code).toBe("ERR_TICKET_FORMAT");
  });
});

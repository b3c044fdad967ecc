import { describe, expect, it } from "vitest";
import { parseCode } from "../../../src/wire/code.ts";
import { unwrapCode } from "../../../src/wire/pasted-text.ts";
import { decodeTicket, encodeTicket, looksLikeTicket } from "../../../src/wire/ticket.ts";

const CODE = "42-ocean-lizard-maple";
const TICKET = encodeTicket({ kind: "answer", sealedSignal: new Uint8Array(300).fill(7) });

describe("a pasted code", () => {
  it.each([
    CODE,
    `"${CODE}"`,
    `'${CODE}'`,
    `\u201c${CODE}\u201d`,
    `\`${CODE}\``,
    `${CODE}.`,
    `"${CODE}."`,
    `(${CODE})`,
    `42-\u200bocean-lizard-maple\u200b`,
    `\ufeff${CODE}\n`,
    `srudp connect ${CODE}`,
    `  srudp connect ${CODE}\n`,
    `$ srudp connect ${CODE}`,
    `> srudp connect "${CODE}"`,
    `sudo srudp connect ${CODE}`,
    `npx srudp connect ${CODE} --rendezvous wss://meet.example.org`,
    `/usr/local/bin/srudp connect --rendezvous udp://192.0.2.1:3478 ${CODE} > file`,
    "srudp connect 42 ocean lizard maple",
  ])("is found in %j", (text) => {
    expect(parseCode(unwrapCode(text))).toBe(CODE);
  });

  it.each([
    "",
    "srudp connect",
    "srudp connect laptop",
    "echo 42-ocean-lizard-maple",
    "42-ocean.lizard-maple",
  ])("is not found in %j", (text) => {
    expect(() => parseCode(unwrapCode(text))).toThrow();
  });

  it("is looked for in linear time", () => {
    // Quadratic time would take minutes here, more than the runner allows.
    for (const part of ["a ", "srudp ", "42-", "\u200b", "> ", "42-ocean-"]) unwrapCode(part.repeat(200_000));
  });
});

describe("a pasted ticket", () => {
  const half = TICKET.length >> 1;
  it.each([
    ["in quotes", `"${TICKET}"`],
    ["with a full stop", `${TICKET}.`],
    ["wrapped", `${TICKET.slice(0, half)}\r\n${TICKET.slice(half)}\r\n`],
    ["wrapped and quoted by a mail program", `> ${TICKET.slice(0, half)}\n> ${TICKET.slice(half)}`],
    ["with a zero-width space", `${TICKET.slice(0, half)}\u200b${TICKET.slice(half)}`],
    ["in its command", `srudp connect ${TICKET} --relay-only`],
  ])("is read %s", (_, text) => {
    expect(looksLikeTicket(text)).toBe(true);
    expect(decodeTicket(text)).toMatchObject({ kind: "answer" });
  });

  it("is refused when a part of it is missing", () => {
    expect(() => decodeTicket(TICKET.slice(0, half))).toThrow("missing or changed");
  });
});

import { describe, expect, it } from "vitest";
import { AnswerEntry } from "../../../src/cli/terminal/answer-entry.ts";
import { encodeTicket } from "../../../src/wire/ticket.ts";

const sealedSignal = new Uint8Array(300).fill(7);
const ANSWER = encodeTicket({ kind: "answer", sealedSignal });
const OTHER = encodeTicket({ kind: "answer", sealedSignal: new Uint8Array(300).fill(8) });
const half = ANSWER.length >> 1;

function newEntry(): AnswerEntry {
  return new AnswerEntry((answer) => answer.sealedSignal[0] === 7);
}

describe("the answer to a ticket", () => {
  it.each([
    ["on one line", [ANSWER]],
    ["in quotes", [`"${ANSWER}"`]],
    ["behind an empty line", ["", ANSWER]],
    ["behind a stray line", ["bring this back:", ANSWER]],
    ["behind half of it", [ANSWER.slice(0, half), ANSWER]],
    ["on two lines", [ANSWER.slice(0, half), ANSWER.slice(half)]],
    [
      "on quoted lines with an empty one between",
      [`> ${ANSWER.slice(0, half)}`, "", `> ${ANSWER.slice(half)}`],
    ],
    ["on three lines", [ANSWER.slice(0, 90), ANSWER.slice(90, 180), ANSWER.slice(180)]],
    ["behind the answer to another ticket", [OTHER, ANSWER]],
  ])("is taken %s", (_, lines) => {
    const entry = newEntry();
    for (const line of lines) {
      expect(entry.answer).toBeUndefined();
      entry.feed(line);
    }
    expect(entry.answer).toEqual({ kind: "answer", sealedSignal });
  });

  it.each([
    ["", ""],
    ["hello", "begins with srudpt1"],
    [ANSWER.slice(0, half), "the rest of it"],
    [OTHER, "another ticket"],
  ])("is missed in %j, and the person is told", (line, hint) => {
    const entry = newEntry();
    expect(entry.feed(line)).toContain(hint);
    expect(entry.answer).toBeUndefined();
  });
});

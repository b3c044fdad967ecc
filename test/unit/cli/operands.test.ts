import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { exitStatusOf } from "../../../src/cli/exit.ts";
import {
  formatPeer,
  hideCodes,
  parseDescriptor,
  parseLimit,
  parsePeer,
  parsePort,
  parseSeconds,
  splitWords,
} from "../../../src/cli/options/operands.ts";
import { encodeTicket } from "../../../src/wire/ticket.ts";

function failure(action: () => unknown): SrudpError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(SrudpError);
    return error as SrudpError;
  }
  throw new Error("it was accepted");
}

describe("a peer's name", () => {
  it.each([
    [["a.example.org:4242"], "a.example.org", 4242],
    [["a.example.org", "4242"], "a.example.org", 4242],
    [["192.0.2.7:1"], "192.0.2.7", 1],
    [["[2001:db8::7]:4242"], "2001:db8::7", 4242],
    [["2001:db8::7", "4242"], "2001:db8::7", 4242],
    [["[::1]", "65535"], "::1", 65535],
    [["7:4242"], "7", 4242],
    [["7", "4242"], "7", 4242],
    [["42-ocean.example.org:9"], "42-ocean.example.org", 9],
  ])("%j is an address", (operands, host, port) => {
    expect(parsePeer(operands)).toEqual({ kind: "address", host, port });
  });

  it.each([[["42-ocean-lizard-maple"]], [["42", "Ocean", "liza", "maple"]], [["42 ocean_lizard maple"]]])(
    "%j is a code",
    (operands) => {
      expect(parsePeer(operands)).toEqual({ kind: "code", code: "42-ocean-lizard-maple" });
    },
  );

  it.each([
    [["'42-ocean-lizard-maple'"]],
    [["\u201c42-ocean-lizard-maple\u201d."]],
    [["42-ocean-lizard-maple."]],
    [["42\u200b-ocean-lizard-maple"]],
    [["srudp", "connect", "42-ocean-lizard-maple"]],
    [["srudp connect 42-ocean-lizard-maple"]],
    [["42", "ocean", "lizard", "maple."]],
  ])("may be a code as it was pasted: %j", (operands) => {
    expect(parsePeer(operands)).toEqual({ kind: "code", code: "42-ocean-lizard-maple" });
  });

  it("may be a ticket in quotes, in two words, or in the command that was printed", () => {
    const answer = encodeTicket({ kind: "answer", sealedSignal: new Uint8Array(200) });
    const half = answer.length >> 1;
    for (const operands of [
      [answer],
      [`"${answer}"`],
      [answer.slice(0, half), answer.slice(half)],
      ["srudp", "connect", answer],
      [`srudp connect ${answer}`],
    ]) {
      // It is recognized whole, as an answer, which connects nobody.
      expect(failure(() => parsePeer(operands)).message).toContain("This ticket is an answer");
    }
  });

  it("may be the name under which it was saved", () => {
    expect(parsePeer(["laptop"])).toEqual({ kind: "name", name: "laptop" });
    expect(parsePeer(["example.org"])).toEqual({ kind: "name", name: "example.org" });
  });

  it("may be a ticket, if it is whole", () => {
    expect(failure(() => parsePeer(["srudpt1qqqq"])).code).toBe("ERR_TICKET_FORMAT");
  });

  it("may be a key, or missing", () => {
    expect(parsePeer([])).toEqual({ kind: "none" });
    expect(parsePeer(["srudp1qqqq"])).toEqual({ kind: "key" });
  });

  it.each([
    ["7"],
    ["7-"],
    [""],
    ["42-ocean-lizard"],
    ["0-ocean-lizard-maple"],
    ["42-оcean-lizard-maple"],
    ["7".repeat(100_000)],
  ])("%.40j is a malformed code, exit 65", (text) => {
    expect(exitStatusOf(failure(() => parsePeer([text])))).toBe(65);
  });

  it.each([
    [["10.0.0.1"]],
    [["2001:db8::7"]],
    [["[::1]"]],
    [["example.org:"]],
    [[":4242"]],
    [["example.org:0"]],
    [["example.org:70000"]],
    [["example.org:0x50"]],
    [["example.org:http"]],
    [["a b:1"]],
    [["http://example.org:80"]],
    [["example.org", "4242", "more"]],
  ])("%j is a mistake of usage, exit 64", (operands) => {
    expect(exitStatusOf(failure(() => parsePeer(operands)))).toBe(64);
  });

  it("is never a code with a port, which would be asked of a name server", () => {
    expect(exitStatusOf(failure(() => parsePeer(["42-ocean-lizard-maple", "4242"])))).toBe(64);
    expect(failure(() => parsePeer(["42-ocean-lizard-maple:4242"])).message).not.toContain(
      "42-ocean-lizard-maple:",
    );
  });

  it("has one spelling", () => {
    expect(formatPeer("A.Example.org", 1)).toBe("a.example.org:1");
    expect(formatPeer("2001:DB8::7", 1)).toBe("[2001:db8::7]:1");
  });
});

describe("numbers", () => {
  it("are read strictly", () => {
    expect(parsePort("0")).toBe(0);
    expect(parsePort("65535")).toBe(65535);
    for (const text of ["", "-1", "65536", "1e3", " 1", "0x1", "١"])
      expect(exitStatusOf(failure(() => parsePort(text)))).toBe(64);
    expect(parseSeconds("1.5")).toBe(1500);
    expect(parseSeconds("0")).toBe(0);
    expect(parseLimit("0")).toBe(Number.POSITIVE_INFINITY);
    expect(parseLimit("2")).toBe(2000);
    for (const text of ["", "-1", "1s", ".", "Infinity", "NaN"])
      expect(exitStatusOf(failure(() => parseSeconds(text)))).toBe(64);
    expect(parseDescriptor("3")).toBe(3);
    expect(exitStatusOf(failure(() => parseDescriptor("-3")))).toBe(64);
  });
});

describe("the words of the command line", () => {
  it("are split at the first --, and only there", () => {
    expect(splitWords(["listen", "1"])).toEqual({ options: ["listen", "1"], program: undefined });
    expect(splitWords(["listen", "-e", "--", "sh", "--", "-v"])).toEqual({
      options: ["listen", "-e"],
      program: ["sh", "--", "-v"],
    });
    expect(splitWords(["listen", "--"])).toEqual({ options: ["listen"], program: [] });
  });

  it("lose the codes in them before they are repeated", () => {
    expect(hideCodes("unknown command '42-ocean-lizard-maple'")).toBe("unknown command '…'");
    expect(hideCodes("unknown command '42 Ocea_liza mapl'")).toBe("unknown command '…'");
    expect(hideCodes("unknown command '42-ocean-lizzard'")).toBe("unknown command '…'");
    expect(hideCodes("Expected 1 argument but got 2.")).toBe("Expected 1 argument but got 2.");
    expect(hideCodes("option '-p' argument 'x' is invalid")).toBe("option '-p' argument 'x' is invalid");
  });
});

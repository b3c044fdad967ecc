import { describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode, errorReceivedAs, errorSentAs } from "../../../src/base/errors.ts";

const codes = Object.keys(ERRORS) as ErrorCode[];
const sendable = codes.filter((code) => ERRORS[code].wire !== undefined);

describe("the table of errors", () => {
  it("has a wire code for internal errors, and none twice", () => {
    expect(ERRORS.ERR_INTERNAL.wire).toBe(1);
    const wires = sendable.map((code) => ERRORS[code].wire);
    expect(new Set(wires).size).toBe(wires.length);
  });

  it.each(sendable)("reports %s as a remote error where it is received", (code) => {
    const wire = ERRORS[code].wire!;
    expect(errorSentAs(wire)).toBe(code);
    expect(ERRORS[errorReceivedAs(wire)!].origin).toBe("remote");
  });

  it.each(codes)(
    "has a message for %s that names no option, variable or subcommand of the command line",
    (code) => {
      expect(ERRORS[code].message).not.toMatch(
        /`|(^|[\s("'])--?[a-zA-Z]|SRUDP_|\bsrudp (listen|connect|forward|key|peers|doctor)\b/,
      );
    },
  );

  it("knows nothing of codes that no row has", () => {
    expect(errorReceivedAs(0)).toBeUndefined();
    expect(errorReceivedAs(0x3fff)).toBeUndefined();
  });
});

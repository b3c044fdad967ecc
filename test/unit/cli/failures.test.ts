import { describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode, SrudpError } from "../../../src/base/errors.ts";
import { exitStatusFor, messageOf, sentenceOf, withRemedy } from "../../../src/cli/failures.ts";

const codes = Object.keys(ERRORS) as ErrorCode[];

describe("the command line's report of an error", () => {
  it.each(codes)("exits with a status of its own kind for %s", (code) => {
    const status = exitStatusFor(code);
    const isSysexit = status >= 64 && status <= 78;
    expect(isSysexit || status === 130 || status === 141).toBe(true);
  });

  it("names options where the library's message does not", () => {
    expect(sentenceOf("ERR_BIND")).toContain("-p");
    expect(sentenceOf("ERR_CODE_NEEDED")).toContain("--code-file");
    expect(messageOf(new SrudpError("ERR_NAME_TAKEN", "laptop"))).toMatch(/^laptop: .*`srudp peers forget`/);
  });

  it("is the library's message where no option helps", () => {
    const error = new SrudpError("ERR_TIMEOUT", "no answer");
    expect(messageOf(error)).toBe(error.message);
  });

  it("replaces the library's message at the end of a text, and leaves another text alone", () => {
    const error = new SrudpError("ERR_RELAY_REFUSED", "turn:a");
    expect(withRemedy(error.message, "ERR_RELAY_REFUSED")).toBe(messageOf(error));
    expect(withRemedy("an optional package", "ERR_RELAY_REFUSED")).toBe("an optional package");
  });
});

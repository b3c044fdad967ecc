import { describe, expect, it } from "vitest";
import { hasUnicode, wantsColors } from "../../../src/cli/terminal/terminal-style.ts";

const terminal = { isTTY: true, hasColors: (): boolean => true };
const pipe = {};

describe("colours", () => {
  it.each([
    ["on a terminal", terminal, {}, true],
    ["on a pipe", pipe, {}, false],
    ["with NO_COLOR=1", terminal, { NO_COLOR: "1" }, false],
    ["with an empty NO_COLOR", terminal, { NO_COLOR: "" }, true],
    ["with FORCE_COLOR=1 on a pipe", pipe, { FORCE_COLOR: "1" }, true],
    ["with an empty FORCE_COLOR on a pipe", pipe, { FORCE_COLOR: "" }, true],
    ["with FORCE_COLOR=0 on a terminal", terminal, { FORCE_COLOR: "0" }, false],
    ["with CLICOLOR_FORCE=1 on a pipe", pipe, { CLICOLOR_FORCE: "1" }, true],
    ["with CLICOLOR_FORCE=0 on a pipe", pipe, { CLICOLOR_FORCE: "0" }, false],
    ["with CLICOLOR=0 on a terminal", terminal, { CLICOLOR: "0" }, false],
    ["with NO_COLOR=1 and FORCE_COLOR=1", terminal, { NO_COLOR: "1", FORCE_COLOR: "1" }, false],
    ["with TERM=dumb", terminal, { TERM: "dumb" }, false],
    ["where the terminal has none", { ...terminal, hasColors: (): boolean => false }, {}, false],
  ] as const)("%s", (_, stream, environment, wanted) => {
    expect(wantsColors(stream, environment)).toBe(wanted);
  });
});

describe("characters beyond ASCII", () => {
  it.each([
    [{ LANG: "en_US.UTF-8" }, true],
    [{ LANG: "C.utf8" }, true],
    [{ LANG: "C" }, false],
    [{}, false],
    [{ LANG: "en_US.UTF-8", LC_ALL: "C" }, false],
    [{ LANG: "C", LC_CTYPE: "de_DE.UTF-8" }, true],
    [{ LANG: "de_DE.UTF-8", LC_ALL: "" }, true],
  ])("with %j", (environment, wanted) => {
    expect(hasUnicode(environment)).toBe(wanted);
  });
});

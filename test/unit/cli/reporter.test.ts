import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { asSrudpError, exitStatusOf, Interruption } from "../../../src/cli/exit.ts";
import { jsonLine } from "../../../src/cli/terminal/escape.ts";
import { Reporter, type ReporterSettings } from "../../../src/cli/terminal/reporter.ts";

function reporterOf(settings: Partial<ReporterSettings> = {}): {
  reporter: Reporter;
  lines: () => string[];
  raw: () => string;
} {
  let written = "";
  const stream = {
    write: (text: string) => {
      written += text;
    },
  };
  const reporter = new Reporter(stream, { json: false, quiet: false, verbosity: 0, ...settings });
  return { reporter, lines: () => written.split("\n").slice(0, -1), raw: () => written };
}

describe("events as JSON", () => {
  it("are one object a line with the event first and undefined fields left out", () => {
    const { reporter, lines } = reporterOf({ json: true });
    reporter.event("hello", { version: "1", nothing: undefined }, "prose");
    reporter.event("detail", { a: [1] }, undefined, "debug");
    expect(lines()).toEqual(['{"event":"hello","version":"1"}', '{"event":"detail","a":[1]}']);
  });

  it("are told whatever the volume, and never as prose", () => {
    const { reporter, raw } = reporterOf({ json: true, quiet: true });
    reporter.event("one", {}, "prose", "debug");
    reporter.error(new SrudpError("ERR_TIMEOUT"));
    for (const line of raw().trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("event");
    expect(raw()).not.toContain("prose");
  });

  it("name an error's code, sentence and exit status", () => {
    const { reporter, lines } = reporterOf({ json: true });
    reporter.error(new SrudpError("ERR_WRONG_CODE"));
    const event = JSON.parse(lines()[0]!) as Record<string, unknown>;
    expect(Object.keys(event)).toEqual(["event", "code", "message", "exit"]);
    expect(event).toMatchObject({ event: "error", code: "ERR_WRONG_CODE", exit: 77 });
  });

  it("stay on their line and harmless whatever a text holds", () => {
    const nasty = "a\nb\u001b[31m\u009b\u202e\u2028\u{e0041}\u007f";
    const line = jsonLine({ text: nasty });
    expect(line).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(line)).toEqual({ text: nasty });
  });
});

describe("events as prose", () => {
  const say = (reporter: Reporter): void => {
    reporter.event("a", {}, "always", "always");
    reporter.event("b", {}, "normal");
    reporter.event("c", {}, "detail", "detail");
    reporter.event("d", {}, "debug", "debug");
    reporter.event("e", {});
  };

  it.each([
    [{ quiet: true }, ["always"]],
    [{}, ["always", "normal"]],
    [{ verbosity: 1 }, ["always", "normal", "detail"]],
    [{ verbosity: 2 }, ["always", "normal", "detail", "debug"]],
  ])("with %j are %j", (settings, expected) => {
    const { reporter, lines } = reporterOf(settings);
    say(reporter);
    expect(lines()).toEqual(expected);
  });

  it("tell an error in one line even when all else is quiet", () => {
    const { reporter, lines } = reporterOf({ quiet: true });
    reporter.error(new SrudpError("ERR_TIMEOUT", "host\nname\u001b[2J"));
    expect(lines()).toHaveLength(1);
    expect(lines()[0]).toMatch(/^srudp: host\\u\{a\}name\\u\{1b\}\[2J: Nobody answered/);
  });

  it("are silent about an interruption and a closed output", () => {
    const { reporter, raw } = reporterOf();
    reporter.error(new Interruption("SIGINT"));
    reporter.error(new SrudpError("ERR_OUTPUT_CLOSED"));
    expect(raw()).toBe("");
  });

  it("show a bug with its trace", () => {
    const { reporter, raw } = reporterOf();
    reporter.error(asSrudpError(new TypeError("x is not a function")));
    expect(raw()).toContain("reporter.test.ts");
    expect(raw()).toMatch(/srudp: TypeError: x is not a function: This is a bug in srudp/);
  });

  it("make room for themselves above a live line", () => {
    const { reporter, raw } = reporterOf();
    reporter.setLiveLine({
      clear: () => reporter.stream.write("<clear>"),
      draw: () => reporter.stream.write("<draw>"),
    });
    reporter.event("a", {}, "text");
    reporter.setLiveLine(undefined);
    expect(raw()).toBe("<draw><clear>text\n<draw><clear>");
  });
});

describe("exit status", () => {
  it("is that of the signal", () => {
    expect(exitStatusOf(new Interruption("SIGINT"))).toBe(130);
    expect(exitStatusOf(new Interruption("SIGTERM"))).toBe(143);
  });

  it("is 70 for whatever nobody thought of", () => {
    expect(exitStatusOf(asSrudpError(new Error("x")))).toBe(70);
    expect(exitStatusOf(asSrudpError("text"))).toBe(70);
    expect(exitStatusOf(asSrudpError(undefined))).toBe(70);
    const known = new SrudpError("ERR_BIND");
    expect(asSrudpError(known)).toBe(known);
  });
});

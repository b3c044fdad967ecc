/** Text that a peer chose, on its way to a terminal or a log. */
import { describe, expect, it } from "vitest";
import { escapeText, jsonLine } from "../../src/cli/terminal/escape.ts";

describe("foreign text", () => {
  it("30 · loses all power over a terminal", () => {
    expect(escapeText("plain ü 漢 text")).toBe("plain ü 漢 text");
    expect(escapeText("\u001b]0;title\u0007\r\n\u009b1A")).toBe("\\u{1b}]0;title\\u{7}\\u{d}\\u{a}\\u{9b}1A");
    expect(escapeText("abc\u202etxt.exe\u200b\u2066")).toBe("abc\\u{202e}txt.exe\\u{200b}\\u{2066}");
    expect(escapeText("\\u{1b}")).toBe("\\\\u{1b}");
    expect(escapeText("\ud800")).toBe("\\u{d800}");
    expect(escapeText("x".repeat(100_000)).length).toBeLessThan(500);
  });

  it("30 · cannot begin a line of its own or leave its string in an event", () => {
    for (const nasty of ["a\r\nb", 'x","event":"connected', "\u2028", "\u001b[2J", "\u0085"]) {
      expect(escapeText(nasty)).not.toMatch(/[\p{Cc}\p{Zl}]/u);
      const line = jsonLine({ text: nasty });
      expect(line).toMatch(/^[\x20-\x7e]+$/);
      expect(JSON.parse(line)).toEqual({ text: nasty });
    }
  });
});

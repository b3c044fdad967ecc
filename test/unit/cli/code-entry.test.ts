import { describe, expect, it } from "vitest";
import { CodeEntry } from "../../../src/cli/terminal/code-entry.ts";

function typed(keys: string): CodeEntry {
  const entry = new CodeEntry();
  entry.feed(keys);
  return entry;
}

describe("typing a code", () => {
  it.each([
    ["a code typed in full", "42-ocean-lizard-maple\r"],
    ["blanks for hyphens", "42 ocean lizard maple\n"],
    ["a pasted line with more around it", "  42_Ocean__LIZARD-maple  \r\n"],
    ["a pasted line in quotes", '"42-ocean-lizard-maple"\r'],
    ["typographic quotes and a full stop", "\u201c42-ocean-lizard-maple.\u201d\r"],
    ["zero-width spaces", "42-\u200bocean-lizard-maple\u200b\r"],
    ["the command that the other side printed", "srudp connect 42-ocean-lizard-maple\r"],
    ["that command with an option", "srudp connect 42-ocean-lizard-maple --no-lan\r"],
    ["four letters a word", "42-ocea-liza-mapl\r"],
    ["as few letters as are unique", "42 oce liz maple\r"],
    ["tabs to complete", "42\toce\tliz\tmapl\t\r"],
    ["blanks after a completing tab", "42\t oce\t liz\t mapl\t \r"],
    ["arrow and function keys in between", "42-\u001b[Doce\u001bOPan-\u001b[1;5Clizard-maple\u001b[3~\r"],
  ])("takes %s", (_, keys) => {
    const entry = typed(keys);
    expect(entry.state).toBe("done");
    expect(entry.text).toBe("42-ocean-lizard-maple");
  });

  it("takes the same key strokes one by one", () => {
    const entry = new CodeEntry();
    for (const key of "42-ocean-lizard-maple") expect(entry.feed(key)).toBe("open");
    expect(entry.feed("\r")).toBe("done");
    expect(entry.text).toBe("42-ocean-lizard-maple");
  });

  it("shows a part completed as soon as it ends", () => {
    expect(typed("42-oce").text).toBe("42-oce");
    expect(typed("42-oce ").text).toBe("42-ocean-");
    expect(typed("07 ").text).toBe("7-");
  });

  it("takes a whole word for itself though a longer one begins with it", () => {
    expect(typed("1-add ").text).toBe("1-add-");
  });
});

describe("mistakes", () => {
  it("are told at the first letter that leads nowhere, with the word that was meant", () => {
    const entry = typed("42-lizz");
    expect(entry.hint).toContain("no word begins so");
    entry.feed("ard");
    expect(entry.hint).toContain("did you mean lizard?");
    expect(entry.text).toBe("42-lizzard");
  });

  it("keep a part open until it is a word", () => {
    const entry = typed("42-lizzard ocean");
    expect(entry.text).toBe("42-lizzardocean".slice(0, 3 + 12));
    for (let i = 0; i < 12; i++) entry.feed("\u007f");
    entry.feed("lizard ");
    expect(entry.text).toBe("42-lizard-");
    expect(entry.hint).toBe("");
  });

  it("ask for more letters where several words begin so", () => {
    expect(typed("42-zo\t").hint).toBe("zone zoo");
    expect(typed("42-zo ").hint).toBe("zone zoo");
    expect(typed("42-zo ").text).toBe("42-zo");
    expect(typed("42-ocea\t").text).toBe("42-ocean-");
    expect(typed("42-ab\t").hint).toMatch(/^\d+ words$/);
  });

  it.each(["x", "0", "00-", "-\r", "\r"])("want a number first: %j", (keys) => {
    const entry = typed(keys);
    expect(entry.state).toBe("open");
    expect(entry.hint).toContain("number from 1 to 99");
  });

  it("do not take a third digit, look-alike letters or digits among letters", () => {
    expect(typed("123").text).toBe("12");
    // They stay in sight: what is left of a pasted word without them may be another word.
    expect(typed("42-оcean").text).toBe("42-оcean");
    expect(typed("42-оcean-").text).toBe("42-оcean");
    expect(typed("42-оcean").hint).toBe("letters from a to z only");
    expect(typed("42-аart\r").state).toBe("open");
    expect(typed("42-l1").hint).toBe("letters from a to z only");
  });

  it("say how many words are still to come", () => {
    expect(typed("42\r").hint).toContain("three words");
    expect(typed("42-ocean\r").hint).toContain("two words");
    expect(typed("42-ocean-lizard\r").hint).toContain("one word");
    expect(typed("42-ocean-lizard\r").state).toBe("open");
  });

  it("are erased letter by letter, word by word, or all at once", () => {
    expect(typed("42-ocean-li\u007f").text).toBe("42-ocean-l");
    expect(typed("42-ocean-\u007f").text).toBe("42-ocean");
    expect(typed("42-ocean-li\u0017").text).toBe("42-ocean-");
    expect(typed("42-ocean-\u0017").text).toBe("42-");
    expect(typed("42-ocean-li\u0015").text).toBe("");
    expect(typed("\u007f\u007f").text).toBe("");
  });

  it("cannot add to a whole code", () => {
    const entry = typed("42-ocean-lizard-maple-x");
    expect(entry.text).toBe("42-ocean-lizard-maple");
    expect(entry.hint).toContain("Enter");
  });
});

describe("giving up", () => {
  it("is Ctrl-C at any time, and Ctrl-D on an empty line", () => {
    expect(typed("42-oce\u0003").state).toBe("interrupted");
    expect(typed("\u0004").state).toBe("ended");
    expect(typed("42-oce\u0004").state).toBe("open");
  });
});

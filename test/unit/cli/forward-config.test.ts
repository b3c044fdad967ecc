/** The file of `srudp forward --config`: nothing in it is ignored, since what is ignored may have been a restriction. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addLinkOptions } from "../../../src/cli/options/common-options.ts";
import { type ForwardConfig, readForwardConfig } from "../../../src/cli/options/forward-config.ts";
import { failureOf } from "../../lib/key-folder.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "srudp-config-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function read(text: string): Promise<ForwardConfig> {
  const path = join(folder, "tunnels.toml");
  writeFileSync(path, text);
  return readForwardConfig(path, addLinkOptions(new Command("forward")));
}

const PEER = 'peer = "a.example.org:1"\n';

describe("a configuration file", () => {
  it("gives peer, forwards and options, with paths from its own folder", async () => {
    const text = `${PEER}secret-file = "s"\ntimeout = 20\ndht = false\nexpose = ["a:1", "b:2"]\n[forward]\nlocal = ["1:a:1"]\n`;
    const given = text.replace("dht = false", "no-dht = true");
    expect(await read(given)).toEqual({
      peer: "a.example.org:1",
      options: {
        secretFile: join(folder, "s"),
        timeout: 20_000,
        dht: false,
        expose: ["a:1", "b:2"],
        L: ["1:a:1"],
      },
    });
    await expect(read(text)).rejects.toMatchObject({ code: "ERR_CONFIG" });
  });

  it.each([
    ["an unknown word", `${PEER}expsoe = ["a:1"]\n`, 2, "expsoe"],
    ["a word in other letters", `${PEER}Expose = ["a:1"]\n`, 2, "Expose"],
    ["an underscore for a hyphen", `${PEER}permit_listen = ["0"]\n`, 2, "permit_listen"],
    ["an option of the command line only", `${PEER}json = true\n`, 2, "json"],
    ["an unknown word in its table", `${PEER}\n[forward]\nlocals = ["1:a:1"]\n`, 4, "forward.locals"],
    ["a word that every object has", `${PEER}[forward]\nconstructor = ["1:a:1"]\n`, 3, "forward.constructor"],
    ["an option inside of the table", `${PEER}[forward]\nexpose = ["a:1"]\n`, 3, "forward.expose"],
    ["an unknown table", `${PEER}[restrict]\nexpose = ["a:1"]\n`, 2, "restrict"],
    ["a table for an option", `${PEER}[expose]\nhost = "a:1"\n`, 2, "expose"],
    ["a list for the table", `${PEER}forward = ["1:a:1"]\n`, 2, "forward"],
    ["a date for the table", `${PEER}forward = 2026-01-01\n`, 2, "forward"],
    ["text for a list", `${PEER}[forward]\nlocal = "1:a:1"\n`, 3, "forward.local"],
    ["a list in a list", `${PEER}expose = [["a:1"]]\n`, 2, "expose"],
    ["two values for one option", `${PEER}identity = ["a", "b"]\n`, 2, "identity"],
    ["text for a switch", `${PEER}no-dht = "yes"\n`, 2, "no-dht"],
    ["a switch for text", `${PEER}secret-file = true\n`, 2, "secret-file"],
    ["a wrong number", `${PEER}\ntimeout = "soon"\n`, 3, "timeout"],
    ["a choice that there is none of", `${PEER}congestion = "reno"\n`, 2, "congestion"],
    ["an entry that is none", `${PEER}expose = ["a"]\n`, 2, "expose"],
    ["a permission that is none", `${PEER}permit-listen = ["a:b"]\n`, 2, "permit-listen"],
    ["a forward that is none", `${PEER}[forward]\ndynamic = ["1080", "x:y:z"]\n`, 3, "forward.dynamic"],
    ["a peer that is none", 'peer = "a b"\n', 1, "peer"],
    ["a list of peers", 'peer = ["a:1"]\n', 1, "peer"],
  ])("with %s is refused, by name and line", async (_, text, line, key) => {
    const { code, detail } = await failureOf(read(text));
    expect(code).toBe("ERR_CONFIG");
    expect(detail).toContain(`${join(folder, "tunnels.toml")}: line ${line}: ${key} `);
  });

  it("without a peer, or with something else than TOML, is refused", async () => {
    expect((await failureOf(read("[forward]\n"))).detail).toContain("peer is missing");
    expect((await failureOf(read(`${PEER}a = \n`))).detail).toContain("line 2");
    expect((await failureOf(read(`${PEER}${PEER}`))).detail).toContain("line 2");
  });
});

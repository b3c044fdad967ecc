/** What a peer may reach, as `srudp peers check` says it, and a file that restricts and is not understood. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { encodeKey } from "../../src/wire/key-text.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

const [LAPTOP, PHONE] = [1, 2].map((fill) => encodeKey(new Uint8Array(32).fill(fill)));

function configured(authorizedPeers: string): { configHome: string; path: string } {
  const configHome = temporaryFolder();
  const path = join(configHome, "srudp", "authorized_peers");
  mkdirSync(join(configHome, "srudp"), { mode: 0o700 });
  writeFileSync(path, authorizedPeers, { mode: 0o600 });
  return { configHome, path };
}

async function check(configHome: string, ...words: string[]): Promise<{ status: number; said: string }> {
  const command = SrudpProcess.start(["peers", "check", ...words], { configHome, prose: true });
  const said = (await command.output.rest()).toString();
  return { status: await command.exit(), said };
}

describe("srudp peers check", () => {
  it("names the rule that allows a target, or all that do not, and exits accordingly", async () => {
    const lines = `# mine\n${LAPTOP} expose=localhost:22 expose=203.0.113.0/24:443 laptop\n${PHONE} phone\n`;
    const { configHome, path } = configured(lines);
    expect(await check(configHome, "laptop", "LOCALHOST:22")).toEqual({
      status: 0,
      said: `LOCALHOST:22: allowed by expose=localhost:22 (line 2 of ${path}); dials localhost:22\n`,
    });
    expect(await check(configHome, LAPTOP!, "203.0.113.9:443")).toMatchObject({
      status: 0,
      said: expect.stringContaining("expose=203.0.113.0/24:443"),
    });
    for (const target of ["localhost:23", "localhost:22/udp", "/run/app.sock", "127.0.0.1:22"]) {
      const { status, said } = await check(configHome, "laptop", target);
      expect(status).toBe(77);
      expect(said).toContain("none of expose=localhost:22, expose=203.0.113.0/24:443");
    }
    // What all may do does not add to a list of one's own.
    expect((await check(configHome, "laptop", "a:1", "--expose", "a:1")).status).toBe(77);
    expect(await check(configHome, "phone", "a:1", "--expose", "a:1")).toMatchObject({
      status: 0,
      said: expect.stringContaining("allowed by --expose a:1 (the options of `srudp listen`)"),
    });
    expect((await check(configHome, "phone", "a:1")).status).toBe(77);
    expect((await check(configHome, "nobody", "a:1")).status).toBe(68);
  });

  it("gives the same as an object", async () => {
    const { configHome, path } = configured(`${LAPTOP} expose=db:53/udp laptop\n`);
    const { said } = await check(configHome, "--json", "laptop", "db:53/udp");
    expect(JSON.parse(said)).toEqual({
      isAllowed: true,
      target: "db:53/udp",
      source: `line 1 of ${path}`,
      rule: "expose=db:53/udp",
      dials: "db:53/udp",
    });
  });
});

describe("a file of peers that is not understood", () => {
  it.each([
    ["a mistyped option", "expsoe=127.0.0.1:7102 laptop"],
    ["an entry that is none", "expose=127.0.0.1 laptop"],
  ])("because of %s, lets no listener start", async (_, words) => {
    const { configHome, path } = configured(`# mine\n${LAPTOP} ${words}\n`);
    const failed = await SrudpProcess.start(["listen", "0", "--expose", "127.0.0.1:22"], {
      configHome,
    }).failure();
    expect(failed).toMatchObject({ status: 78, code: "ERR_KEY_FILE" });
    expect(failed.message).toContain(`Line 2 of ${path} `);
  });
});

/** Homes, keys and secrets for commands that are to know each other, and the word each way that shows they do. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Pair } from "./pair.ts";
import { SrudpProcess, temporaryFolder } from "./srudp-process.ts";

/** Carries a word each way and ends both sides in order. */
export async function talk({ listener, connector }: Pair): Promise<void> {
  await connector.input.write("ping\n");
  expect(await listener.output.takeText(5)).toBe("ping\n");
  await listener.input.write("pong\n");
  expect(await connector.output.takeText(5)).toBe("pong\n");
  connector.input.end();
  listener.input.end();
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(0);
}

/** What `srudp key …` prints on stdout, first word. */
export async function keyCommand(words: readonly string[], configHome = temporaryFolder()): Promise<string> {
  const command = SrudpProcess.start(["key", ...words], { configHome, prose: true });
  const text = (await command.output.rest()).toString();
  expect(await command.exit()).toBe(0);
  const word = /\bsrudps?1\w+/.exec(text)?.[0];
  if (word === undefined) throw new Error(`no key in: ${text}`);
  return word;
}

/** A side's home with an identity in it. */
export async function newIdentity(): Promise<{ configHome: string; key: string }> {
  const configHome = temporaryFolder();
  return { configHome, key: await keyCommand([], configHome) };
}

/** A file for its owner only, with one line. */
export function secretFile(text: string): string {
  const file = join(temporaryFolder(), "secret");
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return file;
}

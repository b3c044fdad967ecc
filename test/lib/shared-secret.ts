/** A secret that both sides have: a file for the command, bytes for the library. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSecret } from "../../src/wire/key-text.ts";
import { temporaryFolder } from "./srudp-process.ts";

export interface SharedSecret {
  readonly secret: Uint8Array;
  /** For the command line. */
  readonly words: readonly string[];
}

export function newSecret(): SharedSecret {
  const secret = randomBytes(32);
  const file = join(temporaryFolder(), "secret");
  writeFileSync(file, `${encodeSecret(secret)}\n`, { mode: 0o600 });
  return { secret, words: ["--secret-file", file] };
}

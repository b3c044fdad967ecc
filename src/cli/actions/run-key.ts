/** `srudp key`: prints the public key to stdout, or a new secret unless it is written to a file. */
import { randomBytes } from "node:crypto";
import { SrudpError } from "../../base/errors.ts";
import { createPrivateFile } from "../../platform/private-file.ts";
import { configurationFolder, createIdentity, KeyStore } from "../../store/key-store.ts";
import { encodeKey, encodeSecret } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { readIdentityFile } from "../options/identity-file.ts";
import { printLines } from "../terminal/print-lines.ts";

export type KeyAction = "show" | "new" | "secret";

/**
 * @param file the file of the identity, or the file to write the secret to
 * @returns the exit status
 */
export async function runKey(
  context: CommandContext,
  action: KeyAction,
  file: string | undefined,
): Promise<number> {
  const text = await textOf(context, action, file);
  if (action !== "secret" || file === undefined) await printLines([text]);
  // An existing secret, which the peer may also have, is never overwritten.
  else if (!(await createPrivateFile(file, `${text}\n`))) throw new SrudpError("ERR_KEY_EXISTS", file);
  return 0;
}

async function textOf(context: CommandContext, action: KeyAction, file: string | undefined): Promise<string> {
  const store = new KeyStore(configurationFolder(context.environment));
  switch (action) {
    case "secret":
      return encodeSecret(new Uint8Array(randomBytes(32)));
    case "show":
      return encodeKey(
        (file === undefined ? await store.identity() : await readIdentityFile(file)).publicKey,
      );
    case "new": {
      const identity = file === undefined ? await store.createIdentity() : await createIdentity(file);
      if (identity === undefined) {
        // Peers know the old key, so running the command twice must not replace it.
        throw new SrudpError("ERR_KEY_EXISTS", file ?? store.identityPath);
      }
      return encodeKey(identity.publicKey);
    }
  }
}

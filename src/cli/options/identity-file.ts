/** The key file that `--identity` names. */
import { SrudpError } from "../../base/errors.ts";
import { type Identity, readIdentity } from "../../store/key-store.ts";

/**
 * Reads the identity in a key file. The error for a missing file names the command that creates
 * one.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE
 */
export async function readIdentityFile(path: string): Promise<Identity> {
  try {
    return await readIdentity(path);
  } catch (error) {
    const isMissing =
      error instanceof SrudpError && error.code === "ERR_FILE_UNREADABLE" && error.cause === undefined;
    if (!isMissing) throw error;
    throw new SrudpError(error.code, `${error.detail} (\`srudp key new --identity\` makes one)`);
  }
}

/**
 * Reads secrets from files, inherited descriptors and the environment.
 *
 * A one-use code may come from any readable source. A long-lived secret (a shared secret or a
 * passphrase) must be in a file that no other user can read. Errors never repeat the contents.
 */
import { closeSync, fstatSync, read } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { SrudpError } from "../base/errors.ts";
import { quotePath, readPrivateFile } from "../platform/private-file.ts";
import { parseCode } from "../wire/code.ts";
import { decodeSecret } from "../wire/key-text.ts";
import { unwrapCode } from "../wire/pasted-text.ts";
import { Redacted } from "./redacted.ts";

/**
 * Minimum length of a passphrase. A passphrase is reusable, and an attacker may guess once every
 * ten seconds.
 */
const MIN_PASSPHRASE_LENGTH = 12;
/** Longer than any code, secret or passphrase. */
const MAX_TEXT_BYTES = 4096;
/** Retry interval for an empty descriptor. */
const EMPTY_RETRY_MS = 20;

/**
 * The code in `SRUDP_CODE`, which is removed from `environment` so that no child process inherits
 * it.
 */
export function takeEnvironmentCode(environment: NodeJS.ProcessEnv): Redacted<string> | undefined {
  const text = environment.SRUDP_CODE;
  delete environment.SRUDP_CODE;
  return text === undefined ? undefined : sealedCode("SRUDP_CODE", text);
}

/**
 * Reads the code in a file, which may be a pipe.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_CODE_FORMAT
 */
export async function readCodeFile(path: string): Promise<Redacted<string>> {
  return sealedCode(quotePath(path), await readBeginning(path));
}

/**
 * Reads the code in the first line of an inherited descriptor. No further byte is read, so that the
 * rest of descriptor 0 is still data. Any other descriptor is closed, so that no child process
 * inherits it.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_CODE_FORMAT
 */
export async function readCodeDescriptor(descriptor: number): Promise<Redacted<string>> {
  const name = `Descriptor ${descriptor}`;
  const bytes = Buffer.alloc(MAX_TEXT_BYTES);
  let length = 0;
  try {
    fstatSync(descriptor);
    while (length < bytes.length) {
      const got = await readByte(descriptor, bytes, length);
      if (got === 0 || bytes[length] === 0x0a) break;
      length += got;
    }
    if (descriptor > 2) closeSync(descriptor);
  } catch (error) {
    throw unreadable(name, error);
  }
  return sealedCode(name, bytes.toString("utf8", 0, length));
}

/**
 * Reads the 32 bytes of a shared secret from its file.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE, ERR_SECRET_FORMAT
 */
export async function readSecretFile(path: string): Promise<Redacted<Uint8Array>> {
  return new Redacted(decodeSecret(await readExistingFile(path)));
}

/**
 * Reads the passphrase in a file, without its line break. It is normalized to Unicode NFC, so that
 * different keyboards produce the same bytes.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE, ERR_PASSPHRASE_FORMAT
 */
export async function readPassphraseFile(path: string): Promise<Redacted<string>> {
  const text = (await readExistingFile(path)).replace(/\r?\n$/, "").normalize("NFC");
  if (/[\r\n]/.test(text))
    throw new SrudpError("ERR_PASSPHRASE_FORMAT", `${quotePath(path)} has more than one line`);
  if ([...text].length < MIN_PASSPHRASE_LENGTH) {
    throw new SrudpError(
      "ERR_PASSPHRASE_FORMAT",
      `${quotePath(path)} has less than ${MIN_PASSPHRASE_LENGTH} characters`,
    );
  }
  return new Redacted(text);
}

/**
 * Reads the ticket in a file, which may be a pipe. Returns undefined if the file contains no
 * ticket.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE
 */
export async function readTicketFile(path: string): Promise<string | undefined> {
  try {
    const text = await readBeginning(path);
    return text.includes("\n") || text.length === MAX_TEXT_BYTES ? text : undefined;
  } catch (error) {
    const cause = (error as SrudpError).cause as NodeJS.ErrnoException | undefined;
    if (cause?.code === "ENOENT") return undefined;
    throw error;
  }
}

async function readExistingFile(path: string): Promise<string> {
  // A descriptor that the shell opened, as in `<(…)`, has no name that another user could have replaced.
  if (/^\/(?:dev|proc\/self)\/fd\/\d+$/.test(path)) return readBeginning(path);
  const text = await readPrivateFile(path);
  if (text === undefined) throw new SrudpError("ERR_FILE_UNREADABLE", `There is no ${quotePath(path)}`);
  return text;
}

/** Reads at most the longest valid contents. Anything longer is invalid. */
async function readBeginning(path: string): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const bytes = Buffer.alloc(MAX_TEXT_BYTES);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.toString("utf8", 0, length);
  } catch (error) {
    throw unreadable(quotePath(path), error);
  } finally {
    await file?.close();
  }
}

const readAsync = promisify(read);

async function readByte(descriptor: number, into: Buffer, at: number): Promise<number> {
  for (;;) {
    try {
      return (await readAsync(descriptor, into, at, 1, null)).bytesRead;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await sleep(EMPTY_RETRY_MS);
    }
  }
}

/**
 * Wraps the normalized code. The parser's own error is not used, because it would reveal a part of
 * the code in a log.
 */
function sealedCode(source: string, text: string): Redacted<string> {
  try {
    return new Redacted(parseCode(unwrapCode(text)));
  } catch {
    throw new SrudpError("ERR_CODE_FORMAT", `${source} holds no code`);
  }
}

function unreadable(name: string, error: unknown): SrudpError {
  const { code } = error as NodeJS.ErrnoException;
  return new SrudpError("ERR_FILE_UNREADABLE", code === undefined ? name : `${name} (${code})`, error);
}

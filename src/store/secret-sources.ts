/**
 * Where secrets come from, other than the terminal: files, inherited descriptors, the environment.
 *
 * A one-use code may come through anything that can be read. What lives longer, a shared secret or a
 * passphrase, has to lie in a file that nobody else can read. No error repeats what was read.
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

/** Fewest characters of a passphrase: it serves again and again, and one guess in ten seconds is free to all. */
const MIN_PASSPHRASE_LENGTH = 12;
/** More than any code, secret or passphrase takes; what is longer is none. */
const MAX_TEXT_BYTES = 4096;
/** How soon a descriptor that has nothing yet is asked again. */
const EMPTY_RETRY_MS = 20;

/** The code in `SRUDP_CODE`, which is removed from `environment` so that no child inherits it. */
export function takeEnvironmentCode(environment: NodeJS.ProcessEnv): Redacted<string> | undefined {
  const text = environment.SRUDP_CODE;
  delete environment.SRUDP_CODE;
  return text === undefined ? undefined : sealedCode("SRUDP_CODE", text);
}

/**
 * The code in a file, which may be a pipe.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_CODE_FORMAT
 */
export async function readCodeFile(path: string): Promise<Redacted<string>> {
  return sealedCode(quotePath(path), await readBeginning(path));
}

/**
 * The code in the first line of an inherited descriptor. Not a byte more is read, so that what follows
 * on descriptor 0 is still data; any other descriptor is closed, so that no child inherits it.
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
 * The 32 bytes of a shared secret's file.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE, ERR_SECRET_FORMAT
 */
export async function readSecretFile(path: string): Promise<Redacted<Uint8Array>> {
  return new Redacted(decodeSecret(await readExistingFile(path)));
}

/**
 * The passphrase in a file, without the end of its line, in Unicode's form C so that two keyboards agree.
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
 * The ticket in a file, which may be a pipe; undefined while there is none in it.
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

/** As much of a file or pipe as matters: whatever is longer cannot be right. */
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

/** The normal form, wrapped. The parser's own error would tell a part of the code to whoever reads the log. */
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

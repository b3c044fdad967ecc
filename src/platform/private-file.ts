/**
 * Files that only their owner may access. They are read only if their permissions ensure that, and
 * written so that they never exist incomplete or with other permissions.
 *
 * The permissions of the open descriptor are checked, not those of the path, because another file
 * can take the path between a check and the opening.
 */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SrudpError } from "../base/errors.ts";

/**
 * Maximum size of a file that is read. A key takes less than a hundred bytes, and so does each peer
 * in a list.
 */
const MAX_FILE_BYTES = 1 << 20;
/** Number and interval of the retries while another writer holds the lock. */
const LOCK_RETRIES = 40;
const LOCK_RETRY_MS = 50;
/** A lock of this age was left behind by a process that died. */
const LOCK_STALE_MS = 10_000;

/**
 * Reads a private file. Returns `undefined` if it does not exist.
 *
 * @throws SrudpError ERR_KEY_FILE with the remedy when it is not a regular file, belongs to another
 * user, is open to group or others, is not UTF-8 or contains a byte order mark; ERR_FILE_UNREADABLE
 * when the system refuses to read it
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") throw untrusted(path, "is a symbolic link; name the file itself");
    throw new SrudpError("ERR_FILE_UNREADABLE", `${quotePath(path)} (${code ?? "unknown"})`, error);
  }
  try {
    checkPrivate(path, await file.stat());
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > MAX_FILE_BYTES) throw untrusted(path, "is longer than a file of its kind can be");
    return decodeText(path, bytes.subarray(0, length));
  } finally {
    await file.close();
  }
}

/**
 * Creates a private file (mode 0600) with the contents `text`. The file is either complete and
 * synced to disk, or does not exist.
 *
 * @returns false, without a change, if the file exists already
 */
export async function createPrivateFile(path: string, text: string): Promise<boolean> {
  return withDraft(path, async (draft, draftPath) => {
    // The draft is the lock, so no other srudp process takes the name between the check and the
    // rename.
    const taken = await lstat(path).then(
      () => true,
      () => false,
    );
    if (taken) {
      if (await isSameFile(draft, draftPath)) await unlink(draftPath);
      return false;
    }
    return (await settle(draft, draftPath, path, text)) ? true : LOCK_LOST;
  });
}

/**
 * Atomically replaces the contents of a private file with the result of `change`, which receives
 * `undefined` if the file does not exist.
 *
 * @param change may be called again with newer contents, if another process took the lock
 */
export async function changePrivateFile(
  path: string,
  change: (text: string | undefined) => string,
): Promise<void> {
  await withDraft(path, async (draft, draftPath) => {
    // Read under the lock, so that no line is lost when two processes add one at the same time.
    const isDone = await settle(draft, draftPath, path, change(await readPrivateFile(path)));
    return isDone ? undefined : LOCK_LOST;
  });
}

/**
 * Does all of `changePrivateFile` except the final rename, so that the real call is unlikely to
 * fail: calls `change`, writes the result to disk beside the file, and deletes it.
 */
export async function rehearsePrivateFile(
  path: string,
  change: (text: string | undefined) => string,
): Promise<void> {
  await withDraft(path, async (draft, draftPath) => {
    await draft.writeFile(change(await readPrivateFile(path)));
    await draft.sync();
    if (await isSameFile(draft, draftPath)) await unlink(draftPath);
  });
}

/**
 * Creates a folder (mode 0700) and its parents, or checks that only this user can write to the
 * existing folder.
 */
export async function ensurePrivateFolder(path: string): Promise<void> {
  let status: Stats;
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    status = await stat(path);
  } catch (error) {
    throw failed(path, "cannot be made", error);
  }
  if (!status.isDirectory()) throw untrusted(path, "is not a folder");
  checkOwner(path, status);
  if (isOpenTo(status, WRITE_BY_OTHERS)) {
    throw untrusted(path, `can be written by others; run: chmod 700 ${quotePath(path)}`);
  }
}

/** Mode bits that give write access to other users. */
export const WRITE_BY_OTHERS = 0o022;
export const ACCESS_BY_OTHERS = 0o077;

/** Whether this user owns the file; always true on a system without owners. */
export function isOwnedByUser(status: Stats): boolean {
  const user = process.geteuid?.();
  return user === undefined || status.uid === user;
}

/** Whether any of the mode bits `bits` is set; never on a system without permissions. */
export function isOpenTo(status: Stats, bits: number): boolean {
  return hasPermissions && (status.mode & bits) !== 0;
}

/** `path` quoted for a shell, without characters that a terminal could interpret. */
export function quotePath(path: string): string {
  if (/^[\w@%+=:,./~-]+$/.test(path)) return path;
  const shown = path.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return `'${shown.replaceAll("'", "'\\''")}'`;
}

function checkPrivate(path: string, status: Stats): void {
  if (!status.isFile()) throw untrusted(path, "is not a regular file");
  checkOwner(path, status);
  if (isOpenTo(status, ACCESS_BY_OTHERS)) {
    throw untrusted(path, `is open to others than its owner; run: chmod 600 ${quotePath(path)}`);
  }
}

function checkOwner(path: string, status: Stats): void {
  if (isOwnedByUser(status)) return;
  throw untrusted(path, `belongs to another user; run: chown ${process.geteuid?.()} ${quotePath(path)}`);
}

function decodeText(path: string, bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw untrusted(path, "is not text");
  }
  if (text.includes("\uFEFF")) throw untrusted(path, "holds a byte order mark; save it as plain text");
  return text;
}

function failed(path: string, what: string, error: unknown): SrudpError {
  const { code } = error as NodeJS.ErrnoException;
  return new SrudpError("ERR_KEY_FILE", `${quotePath(path)} ${what} (${code ?? "unknown"})`, error);
}

function untrusted(path: string, what: string): SrudpError {
  return new SrudpError("ERR_KEY_FILE", `${quotePath(path)} ${what}`);
}

/**
 * Another process considered this process's draft abandoned and deleted it. Nothing was changed.
 */
const LOCK_LOST: unique symbol = Symbol("lock lost");

/**
 * Creates `path.new` for `use`, which leaves it renamed or unlinked. Only one process can create
 * the file, so it also serves as a lock between processes.
 */
async function withDraft<T>(
  path: string,
  use: (draft: FileHandle, draftPath: string) => Promise<T | typeof LOCK_LOST>,
): Promise<T> {
  const draftPath = `${path}.new`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  for (let attempt = 0; ; attempt++) {
    let draft: FileHandle;
    try {
      draft = await open(draftPath, flags, 0o600);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EEXIST" || attempt >= LOCK_RETRIES) {
        throw failed(draftPath, "cannot be created", error);
      }
      await dropStaleDraft(draftPath);
      await sleep(LOCK_RETRY_MS);
      continue;
    }
    try {
      const result = await use(draft, draftPath);
      if (result !== LOCK_LOST) return result;
    } catch (error) {
      if (await isSameFile(draft, draftPath)) await unlink(draftPath).catch(() => undefined);
      throw error instanceof SrudpError ? error : failed(path, "cannot be written", error);
    } finally {
      await draft.close();
    }
  }
}

async function dropStaleDraft(draftPath: string): Promise<void> {
  try {
    if (Date.now() - (await stat(draftPath)).mtimeMs > LOCK_STALE_MS) await unlink(draftPath);
  } catch {
    // The file disappeared in the meantime.
  }
}

/** @returns false, without a change, if the draft no longer belongs to this process */
async function settle(draft: FileHandle, draftPath: string, path: string, text: string): Promise<boolean> {
  await draft.writeFile(text);
  await draft.sync();
  // After a long suspension, the draft may have been deleted, and its path may name the incomplete
  // draft of another process.
  if (!(await isSameFile(draft, draftPath))) return false;
  await rename(draftPath, path);
  await syncFolder(path);
  return true;
}

/** Whether `path` still names the file that is open as `file`. */
async function isSameFile(file: FileHandle, path: string): Promise<boolean> {
  const held = await file.stat();
  const named = await lstat(path).catch(() => undefined);
  return named !== undefined && named.ino === held.ino && named.dev === held.dev;
}

/** A rename only survives a power failure if the folder is synced as well. */
async function syncFolder(path: string): Promise<void> {
  if (!hasPermissions) return; // Windows cannot open folders.
  const folder = await open(dirname(path), constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Windows has no owners or permission bits that are meaningful here. */
const hasPermissions = process.platform !== "win32";

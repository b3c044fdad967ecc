/** Closing descriptors 0 to 2 for real, which Node never does. */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type NativeFunction, native } from "./native.ts";

interface Duplication {
  readonly dup: NativeFunction;
  readonly dup2: NativeFunction;
}

let duplication: Duplication | null | undefined;

/**
 * Closes a standard descriptor and puts `/dev/null` in its place, so that no file opened later gets its number.
 *
 * With `dup2` both are one step. Closing and opening would be two, and between them another thread (Node opens
 * files in its thread pool) can be given the number; that is how it is done only where koffi is missing.
 *
 * @returns what the system kept back until the close (a full disk over NFS, for one)
 */
export function closeStandardDescriptor(descriptor: number): Error | undefined {
  duplication ??= findDuplication();
  const substitute = duplication === null ? undefined : open();
  if (duplication === null || substitute === undefined) {
    const failure = close(descriptor);
    // The lowest free number is what a new descriptor gets, so this one comes back as the one just closed.
    open();
    return failure;
  }
  // dup2 does not report what the close inside it failed of, so a copy is what is closed last.
  const copy = duplication.dup(descriptor);
  duplication.dup2(substitute, descriptor);
  close(substitute);
  return copy < 0 ? undefined : close(copy);
}

/** Undefined where no further file may be opened. */
function open(): number | undefined {
  try {
    return openSync(devNull, "r+");
  } catch {
    return undefined;
  }
}

function close(descriptor: number): Error | undefined {
  try {
    closeSync(descriptor);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function findDuplication(): Duplication | null {
  const functions = native();
  if (functions === undefined) return null;
  try {
    return {
      dup: functions.find("dup", "int", ["int"]),
      dup2: functions.find("dup2", "int", ["int", "int"]),
    };
  } catch {
    return null;
  }
}

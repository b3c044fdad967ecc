/** Really closes descriptors 0 to 2, which Node never does. */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type NativeFunction, native } from "./native.ts";

interface Duplication {
  readonly dup: NativeFunction;
  readonly dup2: NativeFunction;
}

let duplication: Duplication | null | undefined;

/**
 * Closes a standard descriptor and replaces it with `/dev/null`, so that no file opened later gets
 * its number.
 *
 * `dup2` does both in one step. Without koffi the descriptor is closed and opened again. Between
 * these two steps another thread may get the number, because Node opens files in its thread pool.
 *
 * @returns an error that the system reports only at close, for example a full disk over NFS
 */
export function closeStandardDescriptor(descriptor: number): Error | undefined {
  duplication ??= findDuplication();
  const substitute = duplication === null ? undefined : open();
  if (duplication === null || substitute === undefined) {
    const failure = close(descriptor);
    // A new descriptor gets the lowest free number, which is the one that was just closed.
    open();
    return failure;
  }
  // dup2 does not report an error of the close inside it. A copy is therefore closed last, and its
  // close reports the error.
  const copy = duplication.dup(descriptor);
  duplication.dup2(substitute, descriptor);
  close(substitute);
  return copy < 0 ? undefined : close(copy);
}

/** Opens `/dev/null`. Undefined if the limit on open files is reached. */
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

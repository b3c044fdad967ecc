/**
 * Calls functions of the process itself (its C library, and the OpenSSL inside node) through the
 * optional package koffi. Everything works without koffi, which may be missing or may have no build
 * for the platform.
 */
import { createRequire } from "node:module";

/** A C function. Addresses are plain numbers, because user space ends far below 2^53. */
export type NativeFunction = (...values: (number | null)[]) => number;

/**
 * The part of koffi's interface that is used here. koffi's own types are as optional as the
 * package.
 */
interface Koffi {
  load(path: null): { func(name: string, result: string, parameters: readonly string[]): NativeFunction };
  address(bytes: Uint8Array): bigint;
  errno(): number;
}

export interface Native {
  /** Finds the function `name` in the process. Throws if it does not exist. */
  find(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /**
   * The memory address of `bytes`. It is valid as long as `bytes` is referenced. Use after that
   * reads or writes unrelated memory.
   */
  addressOf(bytes: Uint8Array): number;
  /** The positive errno of the last failed function. */
  errno(): number;
}

let found: Native | null | undefined;

/** The native functions, loaded at the first call; undefined if they are not available. */
export function native(): Native | undefined {
  if (found === undefined) found = load();
  return found ?? undefined;
}

function load(): Native | null {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    const process = koffi.load(null);
    return {
      find: (name, result, parameters) => process.func(name, result, parameters),
      addressOf: (bytes) => Number(koffi.address(bytes)),
      errno: () => koffi.errno(),
    };
  } catch {
    return null;
  }
}

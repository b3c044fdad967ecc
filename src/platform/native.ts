/**
 * The way to functions of the process itself (its C library, and the OpenSSL inside node) by the optional
 * package koffi. Where that is missing, or this platform has no build of it, everything works without.
 */
import { createRequire } from "node:module";

/** A C function. Addresses are plain numbers: user space ends far below 2^53. */
export type NativeFunction = (...values: (number | null)[]) => number;

/** What of koffi is used here; its own types are as optional as itself. */
interface Koffi {
  load(path: null): { func(name: string, result: string, parameters: readonly string[]): NativeFunction };
  address(bytes: Uint8Array): bigint;
  errno(): number;
}

export interface Native {
  /** The function `name` of the process; throws when there is none. */
  find(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /**
   * Where `bytes` lie in memory. They stay there as long as somebody holds them; who uses the address
   * afterwards reads or writes memory that belongs to others.
   */
  addressOf(bytes: Uint8Array): number;
  /** The reason why the last function failed, as a positive errno. */
  errno(): number;
}

let found: Native | null | undefined;

/** Loaded at the first call; undefined where there is none. */
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

/**
 * What a fuzzer is: a way to make inputs out of a seed, to feed them to one piece of the product, and to hold
 * it to what must be true whatever comes.
 *
 * A run starts from nothing, takes exactly `inputsPerRun` inputs and depends on its seed alone, so a failing
 * run is repeated by one number. An input is a byte string handed to a decoder, or one operation on a state
 * machine with the look at its invariants that follows.
 */
import { Xorshift } from "./xorshift.ts";

export interface FuzzTarget {
  readonly name: string;
  readonly inputsPerRun: number;
  /** Share of a campaign's inputs, in proportion to the other targets': what is cheap and wide gets more. */
  readonly weight: number;
  /** One run. Throws at the first thing that is not as it must be. */
  run(random: Xorshift): void;
}

/** A broken invariant, as against a crash of the product. */
export class Broken extends Error {
  override readonly name = "Broken";
}

/** To be used as `if (!holds) broken(…)`: the text is put together only when it is needed. */
export function broken(what: string): never {
  throw new Broken(what);
}

/** Fails unless both are the same value (NaN is never right). */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) broken(`${what} is ${String(actual)}, should be ${String(expected)}`);
}

/** The run of `target` with this seed: undefined when everything held, otherwise what did not. */
export function failureOf(target: FuzzTarget, seed: number): string | undefined {
  try {
    target.run(new Xorshift(seed, target.name));
    return undefined;
  } catch (error) {
    if (error instanceof Broken) return `${error.message}${placeOf(error)}`;
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** The innermost line of the fuzzer that noticed. */
function placeOf(error: Error): string {
  const line = error.stack?.split("\n").find((one) => /^\s+at /.test(one) && !one.includes("/target."));
  return line === undefined ? "" : ` (${line.trim()})`;
}

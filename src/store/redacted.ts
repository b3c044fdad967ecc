/** A value that must not reach a log. `reveal()` returns it, and printing shows `[redacted]`. */
import { inspect } from "node:util";

const MARK = "[redacted]";

export class Redacted<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
    Object.defineProperty(this, inspect.custom, { value: () => MARK });
  }

  /** The value itself. Call this where the value is used, not earlier. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return MARK;
  }

  toJSON(): string {
    return MARK;
  }
}

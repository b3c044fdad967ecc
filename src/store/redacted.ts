/** A value that must not reach a log: it is there for `reveal()`, and `[redacted]` for whatever prints it. */
import { inspect } from "node:util";

const MARK = "[redacted]";

export class Redacted<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
    Object.defineProperty(this, inspect.custom, { value: () => MARK });
  }

  /** The value itself; call it where the value is used, not earlier. */
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

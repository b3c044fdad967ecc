/** Links between the event that brings them and the loop that takes them. */
import type { Link } from "./link.ts";

type Taker = (result: IteratorResult<Link, undefined>) => void;

export class LinkQueue {
  #links: Link[] = [];
  #takers: Taker[] = [];
  #isEnded = false;
  /** Without a loop nothing is kept: whoever listens to events has had the link already. */
  #isIterated = false;

  get length(): number {
    return this.#links.length;
  }

  push(link: Link): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) taker({ done: false, value: link });
    else if (this.#isIterated) this.#links.push(link);
  }

  /** No more links will come; those that wait are still taken. */
  end(): void {
    this.#isEnded = true;
    for (const taker of this.#takers) taker({ done: true, value: undefined });
    this.#takers = [];
  }

  iterate(): AsyncIterableIterator<Link, undefined> {
    this.#isIterated = true;
    const iterator: AsyncIterableIterator<Link, undefined> = {
      next: () => this.#next(),
      return: () => {
        this.#isIterated = false;
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #next(): Promise<IteratorResult<Link, undefined>> {
    const link = this.#links.shift();
    if (link !== undefined) return Promise.resolve({ done: false, value: link });
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}

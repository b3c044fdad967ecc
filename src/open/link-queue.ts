/** A queue between the event that announces a link and the `for await` loop that receives it. */
import type { Link } from "../link/link.ts";

type Resolve = (result: IteratorResult<Link, undefined>) => void;

export class LinkQueue {
  #links: Link[] = [];
  #waiting: Resolve[] = [];
  #isEnded = false;
  /**
   * Without a loop the queue keeps no links, because event listeners have received them already.
   */
  #isIterated = false;

  get length(): number {
    return this.#links.length;
  }

  push(link: Link): void {
    const resolve = this.#waiting.shift();
    if (resolve !== undefined) resolve({ done: false, value: link });
    else if (this.#isIterated) this.#links.push(link);
  }

  /** Ends the queue. The loop still receives the queued links. */
  end(): void {
    this.#isEnded = true;
    for (const resolve of this.#waiting) resolve({ done: true, value: undefined });
    this.#waiting = [];
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
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

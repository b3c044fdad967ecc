/**
 * A set of integers as sorted, disjoint, half-open ranges [start, end) in one Float64Array.
 *
 * Packet numbers and stream offsets mostly arrive in order, so the last range is tried first and
 * growing it allocates nothing.
 */
export class RangeSet {
  /** start(0), end(0), start(1), end(1), … */
  private bounds: Float64Array = new Float64Array(8);
  private ranges = 0;

  /** Number of disjoint ranges. */
  get count(): number {
    return this.ranges;
  }

  /** First integer of range `index`. */
  start(index: number): number {
    return this.bounds[2 * index]!;
  }

  /** The integer after the last one of range `index`. */
  end(index: number): number {
    return this.bounds[2 * index + 1]!;
  }

  /** Number of integers in the set. */
  get size(): number {
    let size = 0;
    for (let i = 0; i < this.ranges; i++) size += this.end(i) - this.start(i);
    return size;
  }

  contains(value: number): boolean {
    const index = this.firstEndingBehind(value);
    return index < this.ranges && this.start(index) <= value;
  }

  /** Whether all of [start, end) is in the set. An empty range always is. */
  containsRange(start: number, end: number): boolean {
    if (end <= start) return true;
    const index = this.firstEndingBehind(start);
    return index < this.ranges && this.start(index) <= start && end <= this.end(index);
  }

  /** Adds [start, end) and merges adjacent ranges. Returns whether any integer was new. */
  add(start: number, end: number): boolean {
    if (end <= start) return false;
    const { bounds, ranges } = this;
    const last = 2 * ranges - 1;
    if (ranges > 0 && start >= bounds[last - 1]!) {
      if (start <= bounds[last]!) {
        if (end <= bounds[last]!) return false;
        bounds[last] = end;
        return true;
      }
      this.insert(ranges, start, end);
      return true;
    }
    // The first range that touches [start, end), and the index after the last one that does.
    const first = this.firstEndingBehind(start - 1);
    let behind = first;
    while (behind < ranges && bounds[2 * behind]! <= end) behind++;
    if (first === behind) {
      this.insert(first, start, end);
      return true;
    }
    if (bounds[2 * first]! <= start && end <= bounds[2 * first + 1]!) return false;
    bounds[2 * first] = Math.min(bounds[2 * first]!, start);
    bounds[2 * first + 1] = Math.max(bounds[2 * behind - 1]!, end);
    this.erase(first + 1, behind);
    return true;
  }

  /** Removes [start, end) from the set. */
  remove(start: number, end: number): void {
    if (end <= start) return;
    let index = this.firstEndingBehind(start);
    const { ranges } = this;
    if (index === ranges || this.start(index) >= end) return;
    if (this.start(index) < start) {
      const oldEnd = this.end(index);
      this.bounds[2 * index + 1] = start;
      index++;
      if (oldEnd > end) {
        this.insert(index, end, oldEnd);
        return;
      }
    }
    let behind = index;
    while (behind < this.ranges && this.end(behind) <= end) behind++;
    if (behind < this.ranges && this.start(behind) < end) this.bounds[2 * behind] = end;
    this.erase(index, behind);
  }

  /** Removes all integers below `limit`. */
  removeBelow(limit: number): void {
    if (this.ranges > 0 && this.start(0) < limit) this.remove(this.start(0), limit);
  }

  /** Removes the lowest range. */
  removeFirst(): void {
    this.erase(0, 1);
  }

  clear(): void {
    this.ranges = 0;
  }

  /** Index of the first range that ends above `value`; `count` if there is none. */
  firstEndingBehind(value: number): number {
    let low = 0;
    let high = this.ranges;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.bounds[2 * middle + 1]! > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private insert(index: number, start: number, end: number): void {
    if (2 * this.ranges === this.bounds.length) {
      const grown = new Float64Array(2 * this.bounds.length);
      grown.set(this.bounds);
      this.bounds = grown;
    }
    this.bounds.copyWithin(2 * index + 2, 2 * index, 2 * this.ranges);
    this.bounds[2 * index] = start;
    this.bounds[2 * index + 1] = end;
    this.ranges++;
  }

  private erase(from: number, behind: number): void {
    if (behind <= from) return;
    this.bounds.copyWithin(2 * from, 2 * behind, 2 * this.ranges);
    this.ranges -= behind - from;
  }
}

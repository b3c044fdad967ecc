/**
 * Maximum over a sliding window, kept as the best three candidates ordered by age: constant time
 * and space.  // Kathleen Nichols' algorithm, as in Linux lib/win_minmax.c (idea only)
 */
export class WindowedMax {
  private readonly window: number;
  private readonly times: [number, number, number] = [0, 0, 0];
  private readonly values: [number, number, number] = [0, 0, 0];

  /** @param window length of the window, in the unit of the times passed to update() */
  constructor(window: number) {
    this.window = window;
  }

  get value(): number {
    return this.values[0];
  }

  update(time: number, value: number): void {
    const { times, values, window } = this;
    if (value >= values[0] || time - times[2] > window) {
      this.reset(time, value);
      return;
    }
    if (value >= values[1]) this.put(1, time, value);
    else if (value >= values[2]) this.put(2, time, value);
    if (time - times[0] > window) {
      // The best candidate is too old: the others move up.
      this.shift(time, value);
      if (time - times[0] > window) this.shift(time, value);
      return;
    }
    // Spread the candidates over the window, so that the next best is as recent as possible.
    if (times[1] === times[0] && time - times[1] > window / 4) this.put(1, time, value);
    else if (times[2] === times[1] && time - times[2] > window / 2) this.put(2, time, value);
  }

  reset(time: number, value: number): void {
    this.times.fill(time);
    this.values.fill(value);
  }

  private put(from: number, time: number, value: number): void {
    for (let i = from; i < 3; i++) {
      this.times[i] = time;
      this.values[i] = value;
    }
  }

  private shift(time: number, value: number): void {
    const { times, values } = this;
    times[0] = times[1];
    values[0] = values[1];
    times[1] = times[2];
    values[1] = values[2];
    times[2] = time;
    values[2] = value;
  }
}

/** What the runs of a group came to, by row and metric. */

/** One run of one row: numbers by the names of what was measured. */
export type Sample = Readonly<Record<string, number>>;

export class Results {
  readonly samples: Readonly<Record<string, Sample[]>>;

  constructor(rows: readonly string[]) {
    this.samples = Object.fromEntries(rows.map((row) => [row, []]));
  }

  add(row: string, sample: object): void {
    this.samples[row]!.push({ ...(sample as Sample) });
  }

  /** The values of one metric, in the order of the runs; none where the row was not run. */
  of(row: string, metric: string): number[] {
    return (this.samples[row] ?? [])
      .map((sample) => sample[metric])
      .filter((value): value is number => value !== undefined);
  }

  /** NaN where there is none. */
  median(row: string, metric: string): number {
    return quantile(this.of(row, metric), 0.5);
  }

  /** How many times the other row's median this row's is; NaN where one of them is missing. */
  ratio(row: string, to: string, metric: string): number {
    return this.median(row, metric) / this.median(to, metric);
  }
}

/** The value below which this share of `values` lies, between two of them where it falls there; NaN for no values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

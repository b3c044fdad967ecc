/** A group of rows that are measured in turn and compared with each other, its table, and what is expected of it. */
import type { BenchPath } from "./path.ts";
import type { Results } from "./results.ts";

export interface Row {
  readonly name: string;
  /** What it cannot do without and is not installed here; nothing for most. */
  missing?(): readonly string[];
  /** One run of it; throws where that fails. */
  run(path: BenchPath, measuredMs: number): Promise<object> | object;
}

export interface Column {
  readonly heading: string;
  /** Its cell for a row; an empty one where there is nothing to say. */
  cell(row: string, results: Results): string;
}

export interface Goal {
  readonly text: string;
  /** What came of it, where all that it needs was measured. */
  outcome(results: Results): { readonly figure: string; readonly isReached: boolean } | undefined;
}

export interface Group {
  /** What is measured, in a sentence. */
  readonly title: string;
  readonly isOnLoopback: boolean;
  readonly rows: readonly Row[];
  readonly columns: readonly Column[];
  readonly goals: readonly Goal[];
  /** Runs, where what is measured is short enough for more of them than asked for. */
  readonly leastRuns?: number;
}

/** The median of a metric, with the lowest and the highest. */
export function spread(heading: string, metric: string, digits: number): Column {
  return {
    heading,
    cell: (row, results) => {
      const values = results.of(row, metric);
      if (values.length === 0) return "";
      const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits));
      return `${results.median(row, metric).toFixed(digits)} (${low}–${high})`;
    },
  };
}

/** The medians of some metrics, side by side; a zero is one that could not be measured. */
export function medians(heading: string, metrics: readonly string[], digits: number, unit = ""): Column {
  return {
    heading,
    cell: (row, results) =>
      metrics
        .map((metric) => results.median(row, metric))
        .filter((value) => value > 0)
        .map((value) => `${value.toFixed(digits)}${unit}`)
        .join(" / "),
  };
}

/** A metric as a multiple of another row's, or as a share of it in percent. */
export function comparison(
  heading: string,
  metric: string,
  to: (row: string) => string | undefined,
  as: "times" | "percent",
): Column {
  return {
    heading,
    cell: (row, results) => {
      const other = to(row);
      return other === undefined || other === row ? "" : ratioText(results.ratio(row, other, metric), as);
    },
  };
}

function ratioText(ratio: number, as: "times" | "percent"): string {
  if (Number.isNaN(ratio)) return "";
  return as === "times" ? `${ratio.toFixed(2)} ×` : `${(100 * ratio).toFixed(0)} %`;
}

/** @param factor the least ratio of both medians, also where it is told in percent */
export function atLeast(
  row: string,
  factor: number,
  other: string,
  metric: string,
  as: "times" | "percent",
): Goal {
  const wanted = as === "times" ? `${factor} ×` : `${100 * factor} % of`;
  return {
    text: `${row} ≥ ${wanted} ${other}`,
    outcome: (results) => ratioOutcome(results.ratio(row, other, metric), as, (ratio) => ratio >= factor),
  };
}

export function atMostTimes(row: string, factor: number, other: string, metric: string): Goal {
  return {
    text: `${row} ≤ ${factor} × ${other}`,
    outcome: (results) =>
      ratioOutcome(results.ratio(row, other, metric), "times", (ratio) => ratio <= factor),
  };
}

function ratioOutcome(
  ratio: number,
  as: "times" | "percent",
  test: (ratio: number) => boolean,
): ReturnType<Goal["outcome"]> {
  if (Number.isNaN(ratio)) return undefined;
  return { figure: ratioText(ratio, as), isReached: test(ratio) };
}

/** @param limit in the metric's own unit */
export function bound(
  row: string,
  sign: "≤" | "≥",
  limit: number,
  unit: string,
  metric: string,
  what = "",
): Goal {
  return {
    text: `${row}${what} ${sign} ${limit} ${unit}`,
    outcome: (results) => {
      const median = results.median(row, metric);
      if (Number.isNaN(median)) return undefined;
      return {
        figure: `${median.toPrecision(3)} ${unit}`,
        isReached: sign === "≤" ? median <= limit : median >= limit,
      };
    },
  };
}

/** Reached where one of the two is. */
export function either(one: Goal, other: Goal): Goal {
  return {
    text: `${one.text}, or ${other.text}`,
    outcome: (results) => {
      const outcomes = [one.outcome(results), other.outcome(results)].filter(
        (outcome) => outcome !== undefined,
      );
      if (outcomes.length === 0) return undefined;
      return {
        figure: outcomes.map(({ figure }) => figure).join(", "),
        isReached: outcomes.some(({ isReached }) => isReached),
      };
    },
  };
}

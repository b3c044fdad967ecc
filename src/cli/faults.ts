/** Counts the faults of links (`link/fault.ts`) for `srudp status` and reports them. */

import type { FaultHandler } from "../link/fault.ts";
import { formatAddress } from "../platform/udp/address.ts";
import type { Reporter } from "./terminal/reporter.ts";

/**
 * Minimum interval between two reports. A peer may cause faults at any rate, so each report
 * contains the count.
 */
const REPORT_INTERVAL_MS = 1000;

export class FaultReports {
  /** Faults of this process so far. */
  count = 0;
  readonly #reporter: Reporter;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
  }

  readonly report: FaultHandler = (thrown, remoteAddress) => {
    this.count++;
    const now = performance.now();
    if (now - this.#reportedAtMs < REPORT_INTERVAL_MS) return;
    this.#reportedAtMs = now;
    const remote = remoteAddress && formatAddress(remoteAddress);
    const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    const prose = `internal error while serving ${remote ?? "a peer"}: ${message}; only that link has ended. Please report it, with what -v shows`;
    this.#reporter.fault({ remote, message, faults: this.count }, prose, thrown);
  };
}

/** Memory and CPU time of another process, from `/proc`; zeros where that is absent. */
import { readFileSync } from "node:fs";

/** Linux reports CPU time in hundredths of a second (`getconf CLK_TCK`). */
const TICK_MS = 10;
const SAMPLE_INTERVAL_MS = 50;

export class ProcessMeter {
  /** Most resident memory at any time (the kernel's own high-water mark, so no peak is missed). */
  peakResidentBytes = 0;
  /** User and system time. */
  cpuMs = 0;
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.sample(), SAMPLE_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Reads both now; a process that is gone leaves them as they were. */
  sample(): void {
    try {
      const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
      const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
      if (peak !== undefined) this.peakResidentBytes = Math.max(this.peakResidentBytes, Number(peak) * 1024);
      // The name in parentheses may hold spaces; the fields behind it do not.
      const fields = readFileSync(`/proc/${this.#pid}/stat`, "utf8").split(") ")[1]!.split(" ");
      this.cpuMs = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    } catch {
      // Gone, or not Linux.
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** The context that every command receives. */
import type { FaultReports } from "./faults.ts";
import type { Interrupt } from "./terminal/interrupt.ts";
import type { Reporter } from "./terminal/reporter.ts";

export interface CommandContext {
  readonly reporter: Reporter;
  readonly interrupt: Interrupt;
  /** Faults of links, counted and reported. */
  readonly faults: FaultReports;
  readonly environment: NodeJS.ProcessEnv;
  readonly version: string;
  /** The arguments after `--`, if it was given. */
  readonly program: readonly string[] | undefined;
}

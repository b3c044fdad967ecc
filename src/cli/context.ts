/** What every command is handed. */
import type { Interrupt } from "./interrupt.ts";
import type { Reporter } from "./reporter.ts";

export interface CommandContext {
  readonly reporter: Reporter;
  readonly interrupt: Interrupt;
  readonly environment: NodeJS.ProcessEnv;
  readonly version: string;
  /** The words behind `--`, if there was one. */
  readonly program: readonly string[] | undefined;
}

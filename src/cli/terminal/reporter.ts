/**
 * Reports events on stderr, either as prose for a user or as lines of JSON for a program, never
 * both.
 *
 * Prose has four volumes. `--quiet` leaves only errors and a generated code. `-v` and `-vv` add
 * detail. JSON is always complete. Text from the peer passes through `escapeText`, here or in the
 * function that formats the prose.
 */
import { ERRORS, type SrudpError } from "../../base/errors.ts";
import { exitStatusOf, isQuiet } from "../exit.ts";
import { messageOf } from "../failures.ts";
import { escapeText, jsonLine } from "./escape.ts";
import { type ColorStream, wantsColors } from "./terminal-style.ts";

/** The lowest volume at which an event is reported as prose. */
export type Volume = "always" | "normal" | "detail" | "debug";

/** A line at the bottom that is redrawn, and erased while other lines are written. */
export interface LiveLine {
  clear(): void;
  draw(): void;
}

/** The part of `process.stderr` that the reporter uses. */
export interface ErrorStream extends ColorStream {
  write(text: string): unknown;
  readonly columns?: number;
}

export interface ReporterSettings {
  readonly json: boolean;
  readonly quiet: boolean;
  /** How often `-v` was given. */
  readonly verbosity: number;
}

/** Styles for prose. They have no effect on a terminal without colours. */
export interface Palette {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

const plain = (text: string): string => text;
const PLAIN: Palette = { strong: plain, faint: plain, good: plain, bad: plain };

export class Reporter {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly stream: ErrorStream;
  palette: Palette = PLAIN;
  /** How often `-v` was given. */
  verbosity: number;
  #liveLine: LiveLine | undefined;

  constructor(stream: ErrorStream, settings: ReporterSettings) {
    this.stream = stream;
    this.json = settings.json;
    this.quiet = settings.quiet;
    this.verbosity = settings.verbosity;
  }

  /** Whether a spinner or a progress line may be drawn. */
  get isTerminal(): boolean {
    return this.stream.isTTY === true;
  }

  get hasColors(): boolean {
    return this.palette !== PLAIN;
  }

  /** Loads the colours if they are wanted. JSON has none. */
  async useColors(environment: NodeJS.ProcessEnv): Promise<void> {
    if (this.json || !wantsColors(this.stream, environment)) return;
    const { Chalk } = await import("chalk");
    const chalk = new Chalk({ level: 1 });
    this.palette = { strong: chalk.bold.cyan, faint: chalk.dim, good: chalk.green, bad: chalk.red };
  }

  /**
   * Reports one event.
   *
   * @param fields the fields of the JSON line after `event`; fields that are `undefined` are left
   * out
   * @param prose the text for a user, `undefined` for none
   */
  event(name: string, fields: object, prose?: string, volume: Volume = "normal"): void {
    if (this.json) this.#write(jsonLine({ event: name, ...fields }));
    else if (prose !== undefined && this.#loudness >= LOUDNESS[volume]) this.#write(prose);
  }

  /** Reports the error that ends the command. A bug is reported with its stack trace. */
  error(error: SrudpError): void {
    const { code } = error;
    const exit = exitStatusOf(error);
    const message = escapeText(messageOf(error));
    const trace = code === "ERR_INTERNAL" ? traceOf(error) : undefined;
    if (this.json) this.event("error", { code, message, exit, trace });
    else if (!isQuiet(error)) {
      if (trace !== undefined) this.#write(trace.map(escapeText).join("\n"));
      this.#write(`${this.palette.bad("srudp:")} ${message}`);
    }
  }

  /** Reports a fault that ended one link. The stack trace is a detail, for developers. */
  fault(fields: object, prose: string, thrown: unknown): void {
    const trace = stackOf(thrown);
    this.event("fault", { ...fields, trace }, escapeText(prose));
    if (!this.json) this.event("fault", {}, trace.map(escapeText).join("\n"), "detail");
  }

  /** Sets the line at the bottom, or removes it (`undefined`). The previous one is erased. */
  setLiveLine(line: LiveLine | undefined): void {
    this.#liveLine?.clear();
    this.#liveLine = line;
    line?.draw();
  }

  get #loudness(): number {
    return this.quiet ? 0 : 1 + this.verbosity;
  }

  #write(line: string): void {
    this.#liveLine?.clear();
    this.stream.write(`${line}\n`);
    this.#liveLine?.draw();
  }
}

const LOUDNESS: Readonly<Record<Volume, number>> = { always: 0, normal: 1, detail: 2, debug: 3 };

function traceOf(error: SrudpError): string[] {
  return stackOf(error.cause instanceof Error ? error.cause : error).filter(
    (line) => !line.includes(ERRORS.ERR_INTERNAL.message),
  );
}

function stackOf(thrown: unknown): string[] {
  return (thrown instanceof Error ? (thrown.stack ?? String(thrown)) : String(thrown)).split("\n");
}

/**
 * Everything that is said on stderr: one event at a time, as prose for a person or as a line of JSON for a
 * program, never both.
 *
 * Prose has four volumes. `--quiet` leaves what nobody can do without (errors, a code that was generated);
 * `-v` and `-vv` add detail. JSON is always complete. Texts of the peer pass through `escapeText` here or
 * where the prose is made.
 */
import { ERRORS, type SrudpError } from "../../base/errors.ts";
import { exitStatusOf, isQuiet } from "../exit.ts";
import { messageOf } from "../failures.ts";
import { escapeText, jsonLine } from "./escape.ts";

/** From what volume on an event is told in prose. */
export type Volume = "always" | "normal" | "detail" | "debug";

/** A line that is drawn again and again at the bottom, and gives way while something else is written. */
export interface LiveLine {
  clear(): void;
  draw(): void;
}

/** What is used of `process.stderr`. */
export interface ErrorStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  hasColors?(): boolean;
}

export interface ReporterSettings {
  readonly json: boolean;
  readonly quiet: boolean;
  /** How often `-v` was given. */
  readonly verbosity: number;
}

/** How a piece of prose stands out, nothing where the terminal has no colours. */
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

  /** Loads the colours where they are wanted: only for prose on a terminal that has them (`NO_COLOR` is heard there). */
  async useColors(): Promise<void> {
    // chalk itself does not know NO_COLOR: the stream does.
    if (this.json || !this.isTerminal || this.stream.hasColors?.() !== true) return;
    const { Chalk } = await import("chalk");
    const chalk = new Chalk({ level: 1 });
    this.palette = { strong: chalk.bold.cyan, faint: chalk.dim, good: chalk.green, bad: chalk.red };
  }

  /**
   * Tells one event.
   *
   * @param fields what the JSON line holds behind `event`; fields that are `undefined` are left out
   * @param prose what a person reads, `undefined` where there is nothing to read
   */
  event(name: string, fields: object, prose?: string, volume: Volume = "normal"): void {
    if (this.json) this.#write(jsonLine({ event: name, ...fields }));
    else if (prose !== undefined && this.#loudness >= LOUDNESS[volume]) this.#write(prose);
  }

  /** Tells what the command failed of; a bug with its trace, since nobody can do anything without one. */
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

  /** Tells of a fault that ended one link; where it came from is detail, as nobody but a developer can use it. */
  fault(fields: object, prose: string, thrown: unknown): void {
    const trace = stackOf(thrown);
    this.event("fault", { ...fields, trace }, escapeText(prose));
    if (!this.json) this.event("fault", {}, trace.map(escapeText).join("\n"), "detail");
  }

  /** Puts a line at the bottom (`undefined` takes it away); the one that was there is cleared. */
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

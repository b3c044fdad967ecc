/** Prints the result of a command on stdout and waits until it is written. */
import { SrudpError } from "../../base/errors.ts";

/** @throws SrudpError ERR_OUTPUT_CLOSED when the reader has closed stdout */
export async function printLines(lines: readonly string[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(lines.map((line) => `${line}\n`).join(""), (error) => {
      const isClosed = (error as NodeJS.ErrnoException | null | undefined)?.code === "EPIPE";
      if (error) reject(isClosed ? new SrudpError("ERR_OUTPUT_CLOSED") : error);
      else resolve();
    });
  });
}

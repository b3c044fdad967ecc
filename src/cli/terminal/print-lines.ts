/** What a command prints on stdout as its result, waited for. */
import { SrudpError } from "../../base/errors.ts";

/** @throws SrudpError ERR_OUTPUT_CLOSED when nobody reads it any more */
export async function printLines(lines: readonly string[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(lines.map((line) => `${line}\n`).join(""), (error) => {
      const isClosed = (error as NodeJS.ErrnoException | null | undefined)?.code === "EPIPE";
      if (error) reject(isClosed ? new SrudpError("ERR_OUTPUT_CLOSED") : error);
      else resolve();
    });
  });
}

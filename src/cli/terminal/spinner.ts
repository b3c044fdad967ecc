/** A sign of life while nothing happens, on a terminal only, and only when it takes long enough to wonder. */
import type { Reporter } from "./reporter.ts";

/** A wait shorter than this needs no spinner, which costs more than that to load. */
const PATIENCE_MS = 400;

/** Shows `text` with a spinner until the returned function is called. */
export function showWaiting(reporter: Reporter, text: string): () => void {
  if (!reporter.isTerminal || reporter.json || reporter.quiet) return () => undefined;
  let stopped = false;
  let stop = (): void => undefined;
  const timer = setTimeout(async () => {
    const { default: ora } = await import("ora");
    if (stopped) return;
    // stdin belongs to the peer: the spinner must not swallow it.
    const spinner = ora({ text, stream: process.stderr, discardStdin: false });
    spinner.start();
    reporter.setLiveLine({
      clear: () => spinner.clear(),
      draw: () => {
        if (spinner.isSpinning) spinner.render();
      },
    });
    stop = () => {
      reporter.setLiveLine(undefined);
      spinner.stop();
      stop = () => undefined;
    };
  }, PATIENCE_MS);
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}

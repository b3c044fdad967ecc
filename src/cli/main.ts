/**
 * Entry point of the command. It imports almost nothing, so that `--version` answers as fast as
 * Node starts. It first hides codes on the command line from the process list.
 */
import { createRequire } from "node:module";

const words = process.argv.slice(2);

// "42-ocean-lizard-maple" in any accepted spelling, as one argument or several; tickets; and
// secrets, which should not be given on a command line.
const CODE =
  /(?:^|\s)\d{1,2}[\s_\u2010-\u2015-]+[a-z]{3,8}[\s_\u2010-\u2015-]+[a-z]{3,8}[\s_\u2010-\u2015-]/i;
const SECRET = /srudp[sti]1/i;
const line = words.join(" ");
if (CODE.test(line) || SECRET.test(line)) {
  process.title = "srudp (code hidden)";
}

// The package imports itself by name, which works both from the sources and from the compiled
// files.
const { version } = createRequire(import.meta.url)("srudp/package.json") as { version: string };

if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  process.stdout.write(`${version}\n`);
} else {
  const { run } = await import("./run.ts");
  await run(words, version);
}

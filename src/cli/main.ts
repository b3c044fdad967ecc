/**
 * Entry of the command. It imports next to nothing, so that `--version` answers as fast as Node starts, and
 * does first what cannot wait: a code that stands on the command line leaves the list of processes.
 */
import { createRequire } from "node:module";

const words = process.argv.slice(2);

// "42-ocean-lizard-maple" in any tolerated spelling, whole or as words of their own; tickets; and, though they
// have no business there, secrets.
const CODE =
  /(?:^|\s)\d{1,2}[\s_\u2010-\u2015-]+[a-z]{3,8}[\s_\u2010-\u2015-]+[a-z]{3,8}[\s_\u2010-\u2015-]/i;
const SECRET = /srudp[sti]1/i;
const line = words.join(" ");
if (CODE.test(line) || SECRET.test(line)) {
  process.title = "srudp (code hidden)";
}

// The package names itself: this holds from the sources and from what is compiled of them.
const { version } = createRequire(import.meta.url)("srudp/package.json") as { version: string };

if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  process.stdout.write(`${version}\n`);
} else {
  const { run } = await import("./program.ts");
  await run(words, version);
}

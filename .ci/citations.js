/**
 * The citation gate: a Markdown file that source, tests or documents name must exist in the repository, and so must
 * a section that is cited with it, as in `docs/protocol.md, "Key schedule"` or `protocol.md#key-schedule`.
 *
 * A name is looked up from the root, in docs/, and beside the file that names it. `node .ci/citations.js [ROOT]`
 * prints each violation and exits 1; a run that finds no citation fails as well.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PLACES = ["src", "test", "docs", "bin", ".ci", "README.md", "CHANGELOG.md"];
/** This gate and the one that plants violations name files that do not exist. */
const EXEMPT = [".ci/citations.js", ".ci/gates"];
// A quoted section may follow, after a comma or in parentheses; an anchor stands directly behind the name.
const CITATION = /([\w./-]*[\w-]+\.md)(?:#([\w-]+)|[`)]*,? "([^"]+)")?/g;

process.chdir(process.argv[2] ?? ".");
const violations = [];
let count = 0;
for (const file of PLACES.flatMap(filesBelow).filter((one) => !EXEMPT.includes(one))) checkFile(file);
if (count === 0) violations.push("no citations found, so nothing was checked");
for (const line of violations) console.error(line);
if (violations.length > 0) process.exit(1);
console.log(`citations: ${count}, no violation`);

function checkFile(file) {
  for (const [, name, anchor, section] of textOf(file).matchAll(CITATION)) {
    count++;
    const target = [name, join("docs", name), join(dirname(file), name)].find((path) => existsSync(path));
    if (target === undefined) {
      violations.push(`${file}: cites ${name}, which is not in the repository`);
      continue;
    }
    const headings = headingsOf(target);
    if (anchor !== undefined && !headings.map(anchorOf).includes(anchor))
      violations.push(`${file}: cites ${name}#${anchor}, which has no such section`);
    if (section !== undefined && !headings.includes(section))
      violations.push(`${file}: cites ${name}, "${section}", which has no such section`);
  }
}

/** A file as one line: a citation may be broken by the end of a line and the mark of a comment. */
function textOf(file) {
  return readFileSync(file, "utf8").replace(/\n\s*(?:\*|\/\/|#)? */g, " ");
}

function headingsOf(file) {
  const found = readFileSync(file, "utf8").matchAll(/^#+ (.+)$/gm);
  return [...found].map(([, heading]) => heading.replaceAll("`", "").trim());
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (/\.(?:md|ts|js|json)$|gates$|run$/.test(path)) return [path];
  if (path.includes(".") && !path.startsWith(".ci")) return [];
  try {
    return readdirSync(path)
      .filter((name) => name !== "node_modules")
      .flatMap((name) => filesBelow(`${path}/${name}`));
  } catch {
    return [];
  }
}

/**
 * The word gate: identifiers and phrases of the project's former private dialect may not come back. The list is
 * `.ci/words.json`: whole identifiers, words (any case, with their plural), and phrases. Wire labels are exempt by
 * their exact text, since their bytes are hashed.
 *
 * `node .ci/words.js [ROOT]` prints each hit in src, test and docs and exits 1; a run that finds no files or has no
 * list fails as well. Words that are wrong in some contexts only are not in the list: reviewers look for those.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const list = JSON.parse(readFileSync(new URL("words.json", import.meta.url), "utf8"));
process.chdir(process.argv[2] ?? ".");

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const identifiers = new RegExp(`(?<![\\w$])(?:${list.identifiers.map(escaped).join("|")})(?![\\w$])`, "g");
const words = new RegExp(`\\b(?:${list.words.map(escaped).join("|")})(?:s|'s)?\\b`, "gi");
// A phrase may be broken by the end of a line and the mark of a comment.
const GAP = "(?: |\\n\\s*(?:\\*|//)? ?)";
const phrases = new RegExp(
  `\\b(?:${list.phrases.map((one) => one.split(" ").map(escaped).join(GAP)).join("|")})\\b`,
  "gi",
);
const exempt = new RegExp(list.exempt.map(escaped).join("|"), "g");

const violations = [];
const files = ["src", "test", "docs"].flatMap(filesBelow);
if (files.length === 0) violations.push("no files found, so nothing was checked");
if (list.identifiers.length === 0 || list.words.length === 0 || list.phrases.length === 0)
  violations.push("an empty list, so nothing was checked");
for (const file of files) checkFile(file);
for (const line of violations) console.error(line);
if (violations.length > 0) process.exit(1);
console.log(`words: ${files.length} files, no violation`);

function checkFile(file) {
  // Exempt text is blanked, not removed, so that positions stay.
  const text = readFileSync(file, "utf8").replace(exempt, (label) => " ".repeat(label.length));
  for (const pattern of [identifiers, words, phrases]) {
    for (const { 0: hit, index } of text.matchAll(pattern)) {
      const line = text.slice(0, index).split("\n").length;
      violations.push(
        `${file}:${line}: "${hit.replace(/\n\s*(?:\*|\/\/)?\s*/g, " ")}" is of the old dialect`,
      );
    }
  }
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : filesBelow(path);
    return /.(?:ts|js|md)$/.test(path) ? [path] : [];
  });
}

/**
 * The layer gate: folders are layers, and imports run down only. Biome sees static imports of values; this
 * sees every kind (static, type-only, dynamic, `import("…")` types, re-exports) in every file under src/.
 *
 * It also refuses import cycles of any kind, folders with too many entries, tiny files with a single user, two
 * files of one base name, and imports that the table below does not allow. `node .ci/layers.js [ROOT]` prints each
 * violation and exits 1; a run that finds no files fails as well.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";
import ts from "typescript";

const PURE = ["base", "wire", "crypto", "engine", "punch"];
const NOBLE = "@noble/";
const SCURE = "@scure/";
const NODE = "node:";

/** What each layer may import: layers by name, packages by prefix. A layer may always import itself. */
const ALLOWED = {
  base: [],
  wire: ["base", SCURE],
  crypto: ["base", NOBLE, SCURE],
  engine: ["base", "wire", "crypto"],
  punch: ["base", "wire", "crypto"],
  platform: [...PURE, NODE, NOBLE, "koffi"],
  store: [...PURE, "platform", NODE],
  server: [...PURE, "platform", NODE, "ws"],
  link: [...PURE, "platform", "store", NODE],
  traversal: [...PURE, "platform", "store", "link", NODE, "ws", "bittorrent-dht"],
  app: [...PURE, "platform", "store", "link", NODE],
  open: [...PURE, "platform", "store", "link", "traversal", "app", NODE],
  cli: [
    ...["base", "wire", "platform", "store", "server", "link", "traversal", "app", "open"],
    ...[NODE, "commander", "chalk", "ora", "smol-toml"],
  ],
  index: [...PURE, "platform", "link", "app", "open"],
};

const MAX_FOLDER_ENTRIES = 20;
const MIN_LINES = 40;

process.chdir(process.argv[2] ?? ".");
const violations = [];
const report = (file, text) => violations.push(`${file}: ${text}`);

const files = filesBelow("src").filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
if (files.length === 0) report("src", "no files found, so nothing was checked");
const imports = new Map(files.map((file) => [file, importsOf(file)]));

checkLayers();
checkCycles();
checkFolders();
checkNames();

for (const line of violations) console.error(line);
if (violations.length > 0) process.exit(1);
console.log(`layers: ${files.length} files, no violation`);

function checkLayers() {
  for (const [file, specifiers] of imports) {
    const layer = layerOf(file);
    const allowed = ALLOWED[layer];
    if (allowed === undefined) {
      report(file, `src/${layer} is no layer`);
      continue;
    }
    for (const specifier of specifiers) {
      const isRelative = specifier.startsWith(".");
      const target = isRelative ? normalize(join(dirname(file), specifier)) : specifier;
      if (isRelative && !target.startsWith("src/"))
        report(file, `imports ${specifier}, which is outside src`);
      else if (isRelative && !existsSync(target)) report(file, `imports ${specifier}, which does not exist`);
      else if (isRelative && layerOf(target) !== layer && !allowed.includes(layerOf(target)))
        report(file, `imports ${specifier}: ${layer} may not import ${layerOf(target)}`);
      else if (!isRelative && !allowed.some((prefix) => target.startsWith(prefix)))
        report(file, `imports ${specifier}: ${layer} may not import that package`);
    }
  }
}

function checkCycles() {
  const done = new Set();
  const stack = [];
  const visit = (file) => {
    const at = stack.indexOf(file);
    if (at >= 0) {
      report(file, `import cycle: ${[...stack.slice(at), file].join(" -> ")}`);
      return;
    }
    if (done.has(file)) return;
    stack.push(file);
    for (const target of localTargets(file)) visit(target);
    stack.pop();
    done.add(file);
  };
  for (const file of files) visit(file);
}

function checkFolders() {
  const users = new Map(files.map((file) => [file, []]));
  for (const file of files) for (const target of localTargets(file)) users.get(target).push(file);
  for (const [file, by] of users) {
    const lines = readFileSync(file, "utf8").split("\n").length - 1;
    // Across layers a short file is what the upper layer may import of the lower; a command is a file however short.
    const isExempt =
      by.some((user) => layerOf(user) !== layerOf(file)) || /^src\/cli\/(commands|actions)\//.test(file);
    if (lines < MIN_LINES && by.length === 1 && !isExempt)
      report(file, `${lines} lines with one user, ${by[0]}: move it there`);
  }
  const entries = new Map();
  for (const file of files)
    for (let path = file; path !== "src"; path = dirname(path)) {
      const folder = dirname(path);
      entries.set(folder, (entries.get(folder) ?? new Set()).add(basename(path)));
    }
  for (const [folder, names] of entries)
    if (names.size > MAX_FOLDER_ENTRIES)
      report(folder, `${names.size} entries, more than ${MAX_FOLDER_ENTRIES}`);
}

function checkNames() {
  const byName = new Map();
  for (const file of files) {
    const other = byName.get(basename(file));
    if (other !== undefined) report(file, `has the base name of ${other}`);
    byName.set(basename(file), file);
  }
}

function localTargets(file) {
  return imports
    .get(file)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => normalize(join(dirname(file), specifier)))
    .filter((target) => imports.has(target));
}

/** The layer of a file: its folder under src, or "index" for the library's face. */
function layerOf(file) {
  const [first, second] = relative("src", file).split("/");
  return second === undefined ? basename(first, ".ts") : first;
}

function importsOf(file) {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest);
  const found = new Set();
  const visit = (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined)
      found.add(node.moduleSpecifier.text);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      found.add(node.argument.literal.text);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      found.add(
        argument !== undefined && ts.isStringLiteralLike(argument)
          ? argument.text
          : "an expression that this gate cannot read",
      );
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...found];
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );
}

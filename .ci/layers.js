/**
 * The layer gate: folders are layers, and imports run down only. Biome sees static imports of values; this
 * sees every kind (static, type-only, dynamic, `import("…")` types, re-exports) in every file under src/.
 *
 * It also refuses import cycles of any kind, folders with too many entries, tiny files with a single user, two
 * files of one base name, imports that the table below does not allow, and wire formats spelled outside src/wire. `node .ci/layers.js [ROOT]` prints each
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

/** Layers that take bytes apart. Everywhere else src/wire names first bytes and header offsets. */
const BYTE_LAYERS = ["base", "wire", "crypto"];

const MAX_FOLDER_ENTRIES = 20;
const MIN_LINES = 40;

process.chdir(process.argv[2] ?? ".");
const violations = [];
const report = (file, text) => violations.push(`${file}: ${text}`);

const files = filesBelow("src").filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
if (files.length === 0) report("src", "no files found, so nothing was checked");
const sources = new Map(
  files.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true),
  ]),
);
const imports = new Map(files.map((file) => [file, importsOf(file)]));

checkLayers();
checkCycles();
checkFolders();
checkNames();
checkWireFormats();

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

/** First bytes, header offsets and fields of packets are spelled in src/wire only; see src/wire/packet.ts. */
function checkWireFormats() {
  for (const [file, source] of sources) {
    if (BYTE_LAYERS.includes(layerOf(file))) continue;
    const refuse = (node, what) => {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      report(file, `line ${line + 1} spells ${what} (${node.getText()}), which belongs in src/wire`);
    };
    const visit = (node) => {
      if (ts.isNumericLiteral(node) && isFirstByte(node)) refuse(node, "the first byte of a packet");
      else if (ts.isBinaryExpression(node) && comparesFirstByte(node))
        refuse(node, "the first byte of a packet");
      else if (ts.isVariableDeclaration(node) && isHeaderOffset(node)) refuse(node, "a header offset");
      else if (ts.isElementAccessExpression(node) && isHeaderField(node)) refuse(node, "a header field");
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
}

/** 0xc0 to 0xf0, in hexadecimal. */
function isFirstByte(literal) {
  return /^0x/i.test(literal.getText()) && Number(literal.text) >= 0xc0 && Number(literal.text) <= 0xf0;
}

/** `bytes[0] & 0x0f`, `datagram[at]! === 225`. */
function comparesFirstByte({ left, right, operatorToken }) {
  if (operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken) return false;
  const operand = ts.isNonNullExpression(left) ? left.expression : left;
  if (!ts.isElementAccessExpression(operand) || !ts.isNumericLiteral(right)) return false;
  const isBytes = /^(bytes|datagram|packet|message)$/.test(operand.expression.getText());
  return isBytes && /^(0|at)$/.test(operand.argumentExpression.getText());
}

/** `const DESTINATION_AT = 3`. */
function isHeaderOffset({ name, initializer }) {
  return (
    /_AT$/.test(name.getText()) &&
    initializer !== undefined &&
    ts.isNumericLiteral(initializer) &&
    Number.isInteger(Number(initializer.text))
  );
}

/** `(bytes[at + 1]! << 8)`. */
function isHeaderField({ argumentExpression: index, parent }) {
  const user = ts.isNonNullExpression(parent) ? parent.parent : parent;
  return (
    ts.isBinaryExpression(index) &&
    ts.isIdentifier(index.left) &&
    ts.isNumericLiteral(index.right) &&
    ts.isBinaryExpression(user) &&
    [ts.SyntaxKind.LessThanLessThanToken, ts.SyntaxKind.BarToken].includes(user.operatorToken.kind)
  );
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
  visit(sources.get(file));
  return [...found];
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );
}

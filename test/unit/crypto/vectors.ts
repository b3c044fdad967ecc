/**
 * The published test vectors, which are not part of this project: they are read from `../shared/vectors`
 * beside it, and where that folder is absent the suites say so and are skipped.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const FOLDER = join(projectRoot(), "..", "shared", "vectors");

/** The text of one vector file, undefined (and a line on the console) where it is not there. */
export function vectorText(name: string): string | undefined {
  const path = join(FOLDER, name);
  if (existsSync(path)) return readFileSync(path, "utf8");
  console.warn(`Published vectors SKIPPED: ../shared/vectors/${name} is not there.`);
  return undefined;
}

export interface WycheproofTest {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "acceptable" | "invalid";
}

/** Every test of a Wycheproof file with its group's fields, empty where the file is not there. */
export function wycheproofTests<Fields, Group = unknown>(name: string): (WycheproofTest & Fields & Group)[] {
  const text = vectorText(name);
  if (text === undefined) return [];
  const file = JSON.parse(text) as {
    numberOfTests: number;
    testGroups: (Group & { tests: (WycheproofTest & Fields)[] })[];
  };
  const tests = file.testGroups.flatMap((group) => group.tests.map((test) => ({ ...group, ...test })));
  if (tests.length !== file.numberOfTests) throw new Error(`${name} promises ${file.numberOfTests} tests`);
  return tests;
}

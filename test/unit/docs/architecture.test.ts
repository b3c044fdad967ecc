import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { rootFolder } from "../../lib/paths.ts";

const root = fileURLToPath(rootFolder);
const text = readFileSync(join(root, "docs/architecture.md"), "utf8");

/** Folders below src that hold source files themselves. */
function foldersBelow(folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  const below = entries
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => foldersBelow(`${folder}/${name}`));
  const hasFiles = folder !== "src" && entries.some(({ name }) => name.endsWith(".ts"));
  return hasFiles ? [folder, ...below] : below;
}

describe("docs/architecture.md", () => {
  it("lists every folder of src once, and no other", () => {
    const section = /## Map of the folders\n([\s\S]*?)\n## /.exec(text)?.[1] ?? "";
    const listed = [...section.matchAll(/^\| `(src\/[^`]+)` \|/gm)].map(([, folder]) => folder!);
    expect(listed.length).toBeGreaterThan(20);
    expect(listed.sort()).toEqual(foldersBelow("src").sort());
  });

  it("names only files that exist", () => {
    const section = (title: string): string =>
      new RegExp(`## ${title}\\n([\\s\\S]*?)\\n## `).exec(text)?.[1] ?? "";
    const named = (part: string, folder: string): string[] =>
      [...part.matchAll(/`((?:[a-z-]+\/)*[a-z-]+\.ts)`/g)].map(([, file]) => {
        if (file!.startsWith("src/")) return file!;
        const isFromSource = existsSync(join(root, "src", file!.split("/")[0]!)) && file!.includes("/");
        return isFromSource ? `src/${file}` : `${folder}/${file}`;
      });
    const files = [
      ...named(section("Finding a path and keeping it"), "src/traversal"),
      ...named(section("Data flow"), "src"),
      ...named(section("Forwards"), "src/app/forward"),
    ];
    expect(files.length).toBeGreaterThan(40);
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });
});

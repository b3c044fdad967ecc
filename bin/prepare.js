// Builds the package where the compiler is installed, and steps aside where it is not
// (`npm ci --omit=dev`, or an installed package that was built before it was published).
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
let compiler;
try {
  compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
} catch {
  if (!existsSync(new URL("../dist/src/index.js", import.meta.url))) {
    console.error(
      "srudp: not built and TypeScript is absent; run `npm ci` once, then `npm prune --omit=dev`",
    );
  }
}
if (compiler !== undefined) {
  const { status } = spawnSync(process.execPath, [compiler, "-b", root], { stdio: "inherit" });
  process.exitCode = status ?? 1;
}

/** Where things stand in the checkout, the same from `test/` (run by vitest) and from `dist/test/` (compiled). */
import { existsSync } from "node:fs";

const here = new URL(".", import.meta.url);
const compiled = here.pathname.includes("/dist/test/");

/** The checkout's top folder. */
export const rootFolder: URL = new URL(compiled ? "../../../" : "../../", here);

/** The real command. */
export const commandFile: URL = new URL("bin/srudp.js", rootFolder);

/** A compiled file by its path below `dist/`; throws with the remedy when the project is not built. */
export function builtFile(path: string): URL {
  const file = new URL(`dist/${path}`, rootFolder);
  if (!existsSync(file)) throw new Error(`${file.pathname} is missing: run \`npm run build\` first`);
  return file;
}

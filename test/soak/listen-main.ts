/**
 * `npm run soak:listen -- [--links 2000] [--kind exec|file|expose]`
 *
 * That many connects one after the other to `listen -k`, by default with each of `-e`, `> file` and `--expose`. Its
 * heap after a full collection may grow by 3 MB; descriptors and children have to stay level.
 */
import { parseArgs } from "node:util";
import { SOAK_KINDS, type SoakKind, soakListener } from "../lib/link-soak.ts";
import { endAll } from "../lib/srudp-process.ts";

const GROWTH_LIMIT_BYTES = 3e6;
const WARM_UP_LINKS = 100;

const { values } = parseArgs({
  options: { links: { type: "string", default: "2000" }, kind: { type: "string" } },
});
const kinds = values.kind === undefined ? SOAK_KINDS : [values.kind as SoakKind];
for (const kind of kinds) {
  const startMs = performance.now();
  try {
    const { links, before, after } = await soakListener(kind, Number(values.links), WARM_UP_LINKS);
    const grownBytes = after.heapBytes - before.heapBytes;
    const isLevel = after.descriptors <= before.descriptors && after.children <= before.children;
    const isFine = grownBytes <= GROWTH_LIMIT_BYTES && isLevel;
    if (!isFine) process.exitCode = 1;
    console.log(
      `${isFine ? "ok  " : "FAIL"} ${kind}: ${links} links in ${Math.round((performance.now() - startMs) / 1000)} s, ` +
        `heap ${megabytes(before.heapBytes)} to ${megabytes(after.heapBytes)} MB, ` +
        `descriptors ${before.descriptors} to ${after.descriptors}, children ${before.children} to ${after.children}`,
    );
  } finally {
    await endAll();
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

/** What is left of finished links at a listener with -k: nothing. `npm run soak:listen` is the long form. */
import { afterEach, describe, expect, it } from "vitest";
import { SOAK_KINDS, soakListener } from "../lib/link-soak.ts";
import { endAll } from "../lib/srudp-process.ts";

afterEach(endAll);

const LINKS = 60;
const WARM_UP_LINKS = 40;
/** Code that is compiled meanwhile. A listener that keeps its finished links grows by some 65 kB for each of them. */
const GROWTH_LIMIT_BYTES = 2e6;

describe(`a listener with -k, after ${LINKS} more links`, () => {
  it.each(SOAK_KINDS)("holds what it held before (%s)", async (kind) => {
    const { before, after } = await soakListener(kind, LINKS, WARM_UP_LINKS);
    expect(after.heapBytes - before.heapBytes).toBeLessThan(GROWTH_LIMIT_BYTES);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
    expect(after.children).toBe(0);
  });
});

/** Two who connect to each other's public address, without any server: the short form of `npm run lab -- serverless`. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endAll } from "../lib/srudp-process.ts";
import { Internet } from "./internet.ts";
import { serverlessTries } from "./matrix.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";

const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

describe.skipIf(obstacle !== undefined)("connect on both sides", () => {
  let internet: Internet;
  beforeAll(() => {
    internet = new Internet();
  });
  afterEach(endAll);
  afterAll(removeAllNamespaces);

  it.each([
    ["port-restricted", "port-restricted", 0],
    ["port-restricted", "double", 3000],
    ["full-cone", "address-restricted", 10_000],
    ["poison-prone", "poison-prone", 3000],
  ] as const)("links %s and %s directly when started %d ms apart", async (one, other, skewMs) => {
    const { isRight, tries } = await serverlessTries(internet, [one, other], [skewMs]);
    expect(isRight, tries[0]?.trouble ?? tries[0]?.path).toBe(true);
  });
});

/** How the tests run: layers alone and in simulation side by side, the real command one test at a time. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Numbers of the attacks whose tests have passed in this run: `security/record-cases.ts`, `security/cases.test.ts`. */
const caseRecord = join(tmpdir(), `srudp-cases-${process.pid}`);
process.once("exit", () => rmSync(caseRecord, { force: true }));

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          // Some try thousands of cases; beside other work they take ten times as long.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "sim",
          include: ["test/sim/**/*.test.ts"],
          testTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "security",
          include: ["test/security/**/*.test.ts"],
          exclude: ["test/security/cases.test.ts"],
          setupFiles: ["test/security/record-cases.ts"],
          env: { SRUDP_CASE_RECORD: caseRecord },
          // Some tests start processes and measure.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "cases",
          include: ["test/security/cases.test.ts"],
          env: { SRUDP_CASE_RECORD: caseRecord },
          // Runs after the tests that it counts.
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          // Each test starts processes and some of them measure: nothing else may run beside it.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "lab",
          include: ["test/lab/**/*.test.ts"],
          // Namespaces and time: as with the processes above, one after the other.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

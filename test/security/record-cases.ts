/** Records the number of each attack whose test has passed in this run; `cases.test.ts` reads the record. */
import { appendFileSync } from "node:fs";
import { afterEach } from "vitest";

afterEach(({ task }) => {
  const record = process.env.SRUDP_CASE_RECORD;
  const numbers = /^(\d{1,2})(?: and (\d{1,2}))? · /.exec(task.name);
  if (record === undefined || numbers === null || task.result?.state !== "pass") return;
  for (const number of numbers.slice(1)) if (number !== undefined) appendFileSync(record, `${number}\n`);
});

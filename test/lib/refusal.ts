/** Commands that are expected to fail: the documented status and one clear sentence. */
import { expect } from "vitest";
import type { ErrorCode } from "../../src/base/errors.ts";
import { exitStatusFor, sentenceOf } from "../../src/cli/failures.ts";
import { CODE } from "./pair.ts";
import { SrudpProcess } from "./srudp-process.ts";

/** Ends a command that is expected to fail, and checks what every failure has in common. */
export async function failure(process: SrudpProcess, code: ErrorCode): Promise<string> {
  const failed = await process.failure();
  expect(failed.code).toBe(code);
  expect(failed.status).toBe(exitStatusFor(code));
  expect(failed.message).toContain(sentenceOf(code));
  expect(failed.message).not.toContain("\n");
  expect(process.events.filter(({ event }) => event === "error")).toHaveLength(1);
  return failed.message;
}

/** A connector with a code in its environment. */
export function connectTo(
  peer: string,
  words: readonly string[] = [],
  env: Record<string, string> = { SRUDP_CODE: CODE },
): SrudpProcess {
  return SrudpProcess.start(["connect", peer, ...words], { env });
}

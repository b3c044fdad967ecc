/** A configuration folder of a test's own, with whatever files the test plants in it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { SrudpError } from "../../src/base/errors.ts";
import { KeyStore } from "../../src/store/key-store.ts";

export class KeyFolder {
  readonly home: string = mkdtempSync(join(tmpdir(), "srudp-keys-"));
  readonly path: string = join(this.home, "config", "srudp");
  readonly store: KeyStore = new KeyStore(this.path);

  /** Puts a file there, whatever the umask; returns its path. */
  plant(name: string, text: string, mode = 0o600): string {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    const path = join(this.path, name);
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    return path;
  }

  remove(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** The error that an action ends with. */
export async function failureOf(action: Promise<unknown>): Promise<SrudpError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SrudpError);
  return error as SrudpError;
}

/**
 * Pipes as a shell makes them. What Node calls a pipe between processes is a socket pair, which behaves
 * differently where it matters here: half-close, blocking descriptors, and how `process.stdout` writes.
 */
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Two blocking descriptors; give one to a child and close it here, wrap the other with `ownEnd`. */
export function realPipe(): { readEnd: number; writeEnd: number } {
  const folder = mkdtempSync(join(tmpdir(), "srudp-pipe-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  // Opening one end blocks until the other is open: a non-blocking reader breaks the circle.
  const opener = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(path, constants.O_WRONLY);
  const readEnd = openSync(path, constants.O_RDONLY);
  closeSync(opener);
  rmSync(folder, { recursive: true });
  return { readEnd, writeEnd };
}

/** This process's end of a pipe as a stream. */
export function ownEnd(descriptor: number, use: "read" | "write"): Socket {
  return new Socket({ fd: descriptor, readable: use === "read", writable: use === "write" });
}

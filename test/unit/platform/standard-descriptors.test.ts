import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";

/** Closes descriptor 1 again and again while the thread pool opens files, and tells on stderr where it led each time. */
const PROGRAM = `
  import { close, open, readlinkSync } from "node:fs";
  import { closeStandardDescriptor } from "./dist/src/platform/standard-descriptors.js";
  let isOver = false;
  const reopen = () => {
    if (!isOver) open("/dev/zero", "r", (error, descriptor) => close(descriptor, reopen));
  };
  for (let task = 0; task < 4; task++) reopen();
  const places = new Set();
  let rounds = 0;
  const turn = () => {
    for (let times = 0; times < 20; times++) {
      closeStandardDescriptor(1);
      places.add(readlinkSync("/proc/self/fd/1"));
    }
    if (++rounds < 100) setImmediate(turn);
    else {
      isOver = true;
      process.stderr.write([...places].join(" "));
    }
  };
  turn();
`;

describe("closing a standard descriptor", () => {
  it.skipIf(process.platform !== "linux")("never gives its number to a file that is opened meanwhile", () => {
    const ended = spawnSync(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
    });
    expect([ended.status, ended.stderr]).toEqual([0, "/dev/null"]);
  });
});

/**
 * Loaded into the real command by `NODE_OPTIONS=--import`: tells how much is in use after a full collection, to
 * whoever connects to the Unix socket at `SRUDP_TEST_MEMORY_SOCKET`.
 */
import { createServer } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface MemoryReport {
  /** JavaScript objects and the memory of buffers. */
  readonly heapBytes: number;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

createServer((socket) => {
  socket.on("error", () => undefined);
  // What a finalizer or a microtask still holds goes with the second collection.
  collect();
  setImmediate(() => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    const report: MemoryReport = { heapBytes: heapUsed + external };
    socket.end(JSON.stringify(report));
  });
})
  .listen(process.env.SRUDP_TEST_MEMORY_SOCKET)
  .unref();

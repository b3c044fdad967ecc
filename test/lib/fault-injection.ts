/**
 * Loaded into the real command by `NODE_OPTIONS=--import`: a bug that shows when a link's peer sends a control record
 * of the type in `SRUDP_TEST_FAULTY_RECORD`.
 */
import { Link } from "../../src/link/link.ts";

const faultyType = Number(process.env.SRUDP_TEST_FAULTY_RECORD);
const { on } = Link.prototype;

// biome-ignore lint/suspicious/noExplicitAny: as every EventEmitter has it
Link.prototype.on = function (this: Link, event: string | symbol, listener: (...values: any[]) => void) {
  if (event !== "record") return on.call(this, event, listener);
  return on.call(this, event, (type: number, body: Uint8Array) => {
    if (type === faultyType) throw new TypeError("an injected fault");
    listener(type, body);
  });
};

/** What applications are to do, as plain data: streams, datagrams, and how it all ends. */

/** One direction of a stream. */
export interface HalfPlan {
  totalBytes: number;
  /** Size of each write. */
  chunkBytes: number;
  /** What the sender does after `totalBytes`. */
  end: "finish" | "reset";
  /** The receiver wants no more after so many bytes. */
  stopAfterBytes: number;
  /** The receiver reads once per so many ms; 0: all at once. */
  readPauseMs: number;
}

export interface StreamPlan {
  opener: 0 | 1;
  /** After `established` at the opener. */
  openAtMs: number;
  /** From the opener, and back to it. */
  forth: HalfPlan;
  back: HalfPlan;
}

export interface DatagramPlan {
  from: 0 | 1;
  startMs: number;
  count: number;
  intervalMs: number;
  lengthBytes: number;
}

export interface ClosePlan {
  by: 0 | 1 | "both";
  /** When all is done; or after so many ms, whatever goes on; or the end vanishes then without a word. */
  when: "done" | "abrupt" | "vanish";
  /** After everything is done, or after `established` at end 0. */
  atMs: number;
  errorCode: number;
}

export interface WorkloadPlan {
  streams: StreamPlan[];
  datagrams: DatagramPlan[];
  close: ClosePlan;
}

/** Sends, reads back nothing, ends: the default of scenarios. */
export function half(totalBytes: number, more: Partial<HalfPlan> = {}): HalfPlan {
  return {
    totalBytes,
    chunkBytes: 65_536,
    end: "finish",
    stopAfterBytes: Number.POSITIVE_INFINITY,
    readPauseMs: 0,
    ...more,
  };
}

/** One direction of a stream that is under way. */

import type { HalfPlan } from "./workload-plan.ts";

/** One direction of a stream that is under way, seen from both ends. */
export class Half {
  readonly plan: HalfPlan;
  readonly streamId: number;
  readonly key: number;
  written = 0;
  isWriterBlocked = false;
  /** The sender has no more to do: it finished, reset, or was stopped. */
  senderEnd: "open" | "finish" | "reset" | "stopped" = "open";
  isAcknowledged = false;
  read = 0;
  receiverEnd: "open" | "finished" | "reset" | "stopped" = "open";
  isReading = false;

  constructor(plan: HalfPlan, streamId: number, direction: 0 | 1) {
    this.plan = plan;
    this.streamId = streamId;
    this.key = streamId * 2 + direction;
  }

  get isOver(): boolean {
    return this.senderEnd !== "open" && this.receiverEnd !== "open";
  }
}

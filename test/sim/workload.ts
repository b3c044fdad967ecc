/**
 * What the applications of both ends do together, and whether it came true. The plan is known to both ends,
 * so each byte and each event is judged when it arrives (in `application.ts`).
 */

import { End } from "./application.ts";
import type { Half } from "./half.ts";
import type { Peer } from "./peer.ts";
import type { StreamPlan, WorkloadPlan } from "./workload-plan.ts";

interface OpenStream {
  plan: StreamPlan;
  halves: readonly [Half, Half];
  isKnownToPeer: boolean;
}

export class Workload {
  readonly plan: WorkloadPlan;
  readonly ends: readonly [End, End];
  readonly streams = new Map<number, OpenStream>();
  /** Serial numbers of datagrams sent and received, by sender. */
  readonly sentDatagrams: [number, number] = [0, 0];
  readonly receivedDatagrams: [Set<number>, Set<number>] = [new Set(), new Set()];
  datagramPlansOver = 0;
  /** Bytes read and when the first and the last of them came. */
  readBytes = 0;
  firstReadAt = Number.POSITIVE_INFINITY;
  lastReadAt = 0;
  /** When everything was done, by the clock of the world. */
  doneAt = Number.POSITIVE_INFINITY;
  readonly fail: (what: string) => never;
  /** Called after reads, for figures of scenarios. */
  onRead: ((now: number, end: 0 | 1, streamId: number, bytes: number) => void) | undefined;

  constructor(plan: WorkloadPlan, peers: readonly [Peer, Peer], fail: (what: string) => never) {
    this.plan = plan;
    this.fail = fail;
    this.ends = [new End(this, peers[0], 0), new End(this, peers[1], 1)];
    peers[0].application = this.ends[0];
    peers[1].application = this.ends[1];
  }

  /** Whether every stream went through both its ends and every datagram was sent. */
  get isDone(): boolean {
    if (this.streams.size < this.plan.streams.length) return false;
    if (this.datagramPlansOver < this.plan.datagrams.length) return false;
    if (!this.ends[0].isEstablished || !this.ends[1].isEstablished) return false;
    for (const { halves } of this.streams.values()) if (!halves[0].isOver || !halves[1].isOver) return false;
    return true;
  }

  /** To be called when something came to an end: closes where the plan says so. */
  noticeDone(now: number): void {
    if (this.doneAt < Number.POSITIVE_INFINITY || !this.isDone) return;
    this.doneAt = now;
    const { close } = this.plan;
    if (close.when !== "done") return;
    for (const end of this.ends)
      if (close.by === "both" || close.by === end.side) end.closeAt(now + close.atMs);
  }
}

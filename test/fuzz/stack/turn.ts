/** What the campaign's processes say to each other, and the targets by name. */

/** Share of a campaign's inputs, by target. */
export const STACK_TARGETS = {
  forwards: 50,
  programs: 3,
  forwarder: 14,
  rendezvous: 28,
  "listen-process": 3,
  "exec-process": 1,
  "rendezvous-process": 1,
} as const;

export type StackTargetName = keyof typeof STACK_TARGETS;

/** What one process does: attacks from a seed on, until so many inputs or so many attacks are made. */
export interface StackTurn {
  readonly target: StackTargetName;
  readonly firstSeed: number;
  readonly inputs: number;
  readonly attacks: number;
}

export type WorkerReport =
  | { readonly kind: "attacked"; readonly seed: number; readonly inputs: number; readonly longestMs: number }
  /** Something was left behind; the process goes on. */
  | { readonly kind: "leaked"; readonly seed: number; readonly what: string; readonly script: string }
  | { readonly kind: "failed"; readonly seed: number; readonly what: string; readonly script: string }
  | { readonly kind: "done" };

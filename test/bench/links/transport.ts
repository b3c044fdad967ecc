/** The interface of a transport under test, its statistics, and the messages between the processes. */

export const TRANSPORTS = ["bbr", "cubic", "udx"] as const;
/** Ours with either controller, or UDX. */
export type TransportName = (typeof TRANSPORTS)[number];

/** State of a sender at one time: what the search for a lost megabit begins with. */
export interface TracePoint {
  /** Since the start of the transfer. */
  readonly atMs: number;
  readonly phase: string;
  readonly congestionWindowBytes: number;
  readonly bytesInFlight: number;
  /** Bytes per ms; 0 where the transport does not tell. */
  readonly pacingRate: number;
  readonly rttMs: number;
  readonly minRttMs: number;
  readonly sentBytes: number;
  readonly lostPackets: number;
  readonly bufferedBytes: number;
  /** How late the timer that takes these points was: above a few ms the process lacks a processor. */
  readonly lateMs: number;
}

export interface TransportReport {
  readonly sentPackets: number;
  readonly lostPackets: number;
  readonly spuriousLosses: number;
  /** Stream bytes that were sent more than once. */
  readonly retransmittedBytes: number;
  readonly mtuBytes: number;
  /** Most bytes held at any time for the application or the peer. */
  readonly peakBufferedBytes: number;
}

/** One end of a transfer. */
export interface TransferEnd {
  report(): TransportReport;
  trace(atMs: number, lateMs: number): TracePoint;
}

export interface Receiving {
  readonly port: number;
  /** Resolves when all bytes have come and were the right ones. */
  readonly done: Promise<void>;
}

export interface Transport {
  receive(bytes: number, whenConnected: (end: TransferEnd) => void): Promise<Receiving>;
  /** Connects to `port` of this machine and sends; `done` resolves when everything was handed over. */
  send(port: number, bytes: number, whenConnected: (end: TransferEnd) => void): Promise<void>;
}

/** To a process under test. */
export type PeerOrder =
  | { readonly kind: "receive"; readonly transport: TransportName; readonly bytes: number }
  | {
      readonly kind: "send";
      readonly transport: TransportName;
      readonly bytes: number;
      readonly port: number;
      /** 0: no trace. */
      readonly traceEveryMs: number;
    }
  | { readonly kind: "report" };

/** From a process under test; times are those of the system's monotonic clock, the same in all processes. */
export type PeerAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "connected"; readonly startedMs: number; readonly connectedMs: number }
  | { readonly kind: "received"; readonly atMs: number }
  | {
      readonly kind: "report";
      readonly report: TransportReport;
      readonly trace: readonly TracePoint[];
      /** Bytes that the application has got so far, and when. */
      readonly receivedBytes: number;
      readonly atMs: number;
    }
  | { readonly kind: "failed"; readonly reason: string };

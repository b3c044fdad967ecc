/**
 * TCP clients as a program, for tests whose clients have to be in a network namespace. Each sends what it is told
 * to, ends its own direction when the other one ends, and tells what it saw and how long it took.
 */
import { seen } from "./tcp-client.ts";

/** One client; the program takes a list of them as JSON. */
export interface ClientOrder {
  readonly host: string;
  readonly port: number;
  /** Latin1 characters. */
  readonly sends?: string;
}

/** What the program prints, a list of these as JSON. */
export interface ClientReport {
  readonly received: string;
  readonly end: string;
  readonly durationMs: number;
}

async function runClient({ host, port, sends }: ClientOrder): Promise<ClientReport> {
  const startedMs = performance.now();
  const saw = await seen(
    port,
    (socket) => {
      if (sends !== undefined) socket.write(sends, "latin1");
      socket.once("end", () => socket.end());
    },
    { host },
  );
  return { ...saw, durationMs: performance.now() - startedMs };
}

const orders = JSON.parse(process.argv[2]!) as ClientOrder[];
process.stdout.write(JSON.stringify(await Promise.all(orders.map(runClient))));

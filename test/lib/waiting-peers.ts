/** Many peers that wait at a rendezvous server, each at a place of its own with a full blob. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { WebSocket } from "ws";
import { BLOB_LIMIT_BYTES, decodeReply, encodeRequest } from "../../src/wire/mailbox-messages.ts";

const NONE = new Uint8Array(8);
const PEERS_OF_A_SOCKET = 500;
/** Loopback loses datagrams where a buffer overflows. */
const AGAIN_AFTER_MS = 1000;

/** Ends them, by UDP without a goodbye. */
export type EndWaiting = () => void;

/** Resolves once the server has all of them. */
export async function waitByUdp(port: number, count: number): Promise<EndWaiting> {
  const sockets: Socket[] = [];
  for (let from = 0; from < count; from += PEERS_OF_A_SOCKET) {
    const socket = createSocket({ type: "udp4", recvBufferSize: 1_000_000 });
    sockets.push(socket);
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    socket.connect(port, "127.0.0.1");
    await once(socket, "connect");
  }
  await Promise.all(
    sockets.map(async (socket, index) => {
      const hello = decodeReply(await ask(socket, encodeRequest({ kind: "hello", transaction: NONE })));
      if (hello?.kind !== "cookie") throw new Error(`no cookie from port ${port}`);
      const from = index * PEERS_OF_A_SOCKET;
      for (let i = from; i < Math.min(count, from + PEERS_OF_A_SOCKET); i++) {
        const answer = decodeReply(await ask(socket, meetAt(i, hello.cookie)));
        if (answer?.kind !== "state") throw new Error(`refused at place ${i}`);
      }
    }),
  );
  return () => {
    for (const socket of sockets) socket.close();
  };
}

/** As `waitByUdp`, each peer by a connection of its own. */
export async function waitByWebSocket(port: number, count: number): Promise<EndWaiting> {
  const sockets: WebSocket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    sockets.push(socket);
    await once(socket, "open");
    const answered = once(socket, "message");
    socket.send(meetAt(i, new Uint8Array(16)));
    await answered;
  }
  return () => {
    for (const socket of sockets) socket.terminate();
  };
}

function meetAt(number: number, cookie: Uint8Array): Uint8Array {
  const point = new Uint8Array(32);
  new DataView(point.buffer).setUint32(0, number);
  const blob = new Uint8Array(BLOB_LIMIT_BYTES).fill(number);
  const fields = { transaction: NONE, cookie, point, localDigest: NONE, peerDigest: NONE, blob };
  return encodeRequest({ kind: "meet", ...fields, side: 0 });
}

async function ask(socket: Socket, bytes: Uint8Array): Promise<Uint8Array> {
  for (;;) {
    const answered = once(socket, "message");
    socket.send(bytes);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, AGAIN_AFTER_MS, undefined);
    });
    const answer = await Promise.race([answered, late]);
    clearTimeout(timer);
    if (answer !== undefined) return answer[0] as Uint8Array;
  }
}

/** What comes behind the record that ends a link. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { concatBytes } from "../../../src/base/bytes.ts";
import { type ConnectionEvent, EVENT } from "../../../src/engine/connection/connection.ts";
import { encodeKind, STREAM_KIND } from "../../../src/link/control-records.ts";
import { Endpoint } from "../../../src/link/endpoint.ts";
import type { Link } from "../../../src/link/link.ts";
import { newConnection } from "../../../src/link/new-connection.ts";
import type { Stream } from "../../../src/link/stream.ts";
import { Trust } from "../../../src/link/trust.ts";
import { listen } from "../../../src/open/listener.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";

const SECRET = new Uint8Array(32).fill(9);
/** Type 7, and a length that no record may have. */
const RECORD_TOO_LONG = Uint8Array.of(7, 0x80, 0, 0xff, 0xff);

it("leaves no stream open that was opened behind the record that ends the link", async () => {
  const listener = await listen({ family: 4, localAddress: "127.0.0.1", secret: SECRET });
  const endpoint = new Endpoint([await UdpSocket.bind({ family: 4, address: "127.0.0.1", port: 0 })]);
  const parts = newConnection(
    endpoint,
    () => ({
      // With the last message of the handshake: all of it waits for the link's user, who is told in one turn.
      handleEvent: ({ kind }: ConnectionEvent) => {
        if (kind !== EVENT.established) return;
        const { connection } = parts;
        connection.write(
          connection.openStream(),
          concatBytes(encodeKind(STREAM_KIND.control), RECORD_TOO_LONG),
        );
        for (let n = 0; n < 3; n++)
          connection.write(connection.openStream(), encodeKind(STREAM_KIND.forward));
        parts.connectionHandle.touch();
      },
      handleDetached: () => undefined,
      handleFault: (fault) => {
        throw fault;
      },
    }),
    {
      role: "initiator",
      trust: new Trust({ secret: SECRET }),
      paths: [{ address: "127.0.0.1", port: listener.port, socket: 0 }],
      common: { secret: SECRET },
    },
  );
  const [link] = (await once(listener, "link")) as [Link];
  const streams: Stream[] = [];
  link.on("forward", (stream) => {
    stream.on("error", () => undefined);
    streams.push(stream);
  });
  link.on("error", () => undefined);
  link.resume();
  await new Promise((resolve) => link.once("close", resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(streams.filter(({ closed }) => !closed)).toEqual([]);
  await listener.close();
  endpoint.close();
});

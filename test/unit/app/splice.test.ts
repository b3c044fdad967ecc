/** Sockets of forwarded connections that are reset. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { resetSocket } from "../../../src/app/forward/splice.ts";

/** Both ends of a connection on the loopback. */
async function socketPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const near = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(near, "connect");
  const [far] = await accepted;
  far.on("error", () => undefined);
  server.close();
  return { near, far };
}

it.each([0, 10, 10_000_000])(
  "closes a socket that was ended just before, with %i bytes to send",
  async (byteLength) => {
    const { near, far } = await socketPair();
    if (byteLength > 0) near.write(new Uint8Array(byteLength));
    near.end();
    resetSocket(near);
    resetSocket(near);
    await once(near, "close");
    expect(near.destroyed).toBe(true);
    far.destroy();
  },
);

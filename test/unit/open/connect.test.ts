import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { connect, SrudpError } from "../../../src/index.ts";
import { CODE, connecting, LOOPBACK, listening, SECRET } from "../link/loopback.ts";

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

/** A port where somebody is who never answers. */
async function silentPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, LOOPBACK);
  await once(socket, "listening");
  sockets.push(socket);
  return socket.address().port;
}

describe("connect()", () => {
  it("gives up with ERR_TIMEOUT when nobody answers in time, and leaves nothing behind", async () => {
    const port = await silentPort();
    const reaching = connect({ host: LOOPBACK, port, secret: SECRET, timeoutMs: 50 });
    await expect(reaching).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    const active = (): number => process.getActiveResourcesInfo().filter((name) => name === "UDPWrap").length;
    await expect.poll(active).toBe(sockets.length);
  });

  it("rejects with the signal's reason, before it begins and on the way", async () => {
    const port = await silentPort();
    const early = new Error("not even now");
    const reaching = connect({ host: LOOPBACK, port, secret: SECRET, signal: AbortSignal.abort(early) });
    await expect(reaching).rejects.toBe(early);
    const abort = new AbortController();
    const later = new Error("enough");
    setTimeout(() => abort.abort(later), 20);
    await expect(connect({ host: LOOPBACK, port, secret: SECRET, signal: abort.signal })).rejects.toBe(later);
  });

  it("does not touch a link that is there when its signal is aborted", async () => {
    const listener = await listening({ secret: SECRET });
    const abort = new AbortController();
    const link = await connecting(listener.port, { secret: SECRET, signal: abort.signal });
    abort.abort();
    expect(link.destroyed).toBe(false);
  });

  it("gets silence for a wrong secret", async () => {
    const listener = await listening({ secret: SECRET });
    const wrong = connecting(listener.port, { secret: new Uint8Array(32), timeoutMs: 400 });
    await expect(wrong).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
  });

  it.each([
    ["a host that nobody knows", { host: "no-such-host.invalid", secret: SECRET }, "ERR_HOST_UNKNOWN"],
    [
      "a name where names are not looked up",
      { host: "localhost", resolve: false, secret: SECRET },
      "ERR_HOST_UNKNOWN",
    ],
    ["nothing to know the peer by", { host: LOOPBACK }, "ERR_USAGE"],
    ["what is no code", { host: LOOPBACK, code: "forty-two" }, "ERR_CODE_FORMAT"],
    ["a secret of another length", { host: LOOPBACK, secret: new Uint8Array(31) }, "ERR_SECRET_FORMAT"],
    ["a source address that is none", { host: LOOPBACK, secret: SECRET, localAddress: "here" }, "ERR_BIND"],
    [
      "a source address that is not ours",
      { host: LOOPBACK, secret: SECRET, localAddress: "192.0.2.99" },
      "ERR_BIND",
    ],
  ] as const)("refuses %s", async (_, options, code) => {
    await expect(connect({ port: 9, timeoutMs: 2000, ...options })).rejects.toMatchObject({ code });
  });

  it("says ERR_BIND when the port that was asked for is taken", async () => {
    const taken = await silentPort();
    const reaching = connect({
      host: LOOPBACK,
      port: 9,
      localAddress: LOOPBACK,
      localPort: taken,
      secret: SECRET,
    });
    await expect(reaching).rejects.toMatchObject({ code: "ERR_BIND" });
  });

  it("refuses a peer whose key the caller does not like", async () => {
    const listener = await listening({ code: CODE, verifyPeer: () => true });
    const disliked = connecting(listener.port, { verifyPeer: () => false });
    await expect(disliked).rejects.toMatchObject({ code: "ERR_PEER_KEY" });
  });

  it.each([
    [
      "throws",
      () => {
        throw new SrudpError("ERR_PEER_UNKNOWN");
      },
    ],
    [
      "rejects with",
      async () => {
        throw new SrudpError("ERR_PEER_UNKNOWN");
      },
    ],
  ] as const)("rejects with what the caller's judge %s", async (_, verifyPeer) => {
    const listener = await listening({ verifyPeer: () => true });
    await expect(connecting(listener.port, { verifyPeer })).rejects.toMatchObject({
      code: "ERR_PEER_UNKNOWN",
    });
  });

  it("tells the judge whose key it is and where it came from", async () => {
    const listener = await listening({ verifyPeer: () => true });
    let asked: unknown;
    const link = await connecting(listener.port, {
      verifyPeer: (key, remote) => {
        asked = { key, remote };
        return true;
      },
    });
    expect(asked).toEqual({ key: link.peer, remote: { address: LOOPBACK, port: listener.port, family: 4 } });
  });

  it("tries all addresses of a name", async () => {
    const listener = await listening({ localAddress: LOOPBACK, secret: SECRET });
    const link = await connecting(listener.port, { host: "localhost", secret: SECRET });
    expect(link.remote.address).toBe(LOOPBACK);
  });
});

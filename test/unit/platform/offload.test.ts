/** Bursts and batches through the kernel: what is sent as one comes as its datagrams, and nothing gets lost on the way down. */
import { createSocket } from "node:dgram";
import { createRequire } from "node:module";
import { afterEach, describe, expect, it } from "vitest";
import { native } from "../../../src/platform/native.ts";
import { OffloadSocket, payloadTowards } from "../../../src/platform/udp/offload.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";

const probe = OffloadSocket.open(4, "127.0.0.1", 0);
probe?.close();
if (probe === undefined) console.log("offload: not on this system, or without koffi; its tests are left out");

const open: UdpSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

async function bound(family: 4 | 6 = 4): Promise<UdpSocket> {
  const socket = await UdpSocket.bind({ family, address: family === 4 ? "127.0.0.1" : "::1", port: 0 });
  open.push(socket);
  return socket;
}

/** Buffers that `socket` receives until they hold `bytes` together. */
function received(socket: UdpSocket, bytes: number): Promise<Uint8Array[]> {
  return new Promise((resolve) => {
    const buffers: Uint8Array[] = [];
    socket.onDatagram = (_socket, _address, _port, datagram) => {
      buffers.push(datagram.slice());
      if (buffers.reduce((sum, { length }) => sum + length, 0) >= bytes) resolve(buffers);
    };
  });
}

function numbered(byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, i) => (i * 7) & 0xff);
}

describe.skipIf(probe === undefined)("a socket with offload", () => {
  it.each([4, 6] as const)("sends a burst in one call and receives it joined (IPv%d)", async (family) => {
    const [from, to] = [await bound(family), await bound(family)];
    const bytes = numbered(10 * 1200 + 500);
    const arrival = received(to, bytes.length);
    expect(to.isCoalescing).toBe(true);
    expect(from.sendBurst(bytes, bytes.length, 1200, to.local.address, to.local.port)).toBe(bytes.length);
    const buffers = await arrival;
    expect(Buffer.concat(buffers).equals(bytes)).toBe(true);
    expect(buffers.length).toBeLessThan(11);
  });

  it("reaches a socket that receives datagram by datagram", async () => {
    const from = await bound();
    const to = createSocket("udp4");
    await new Promise<void>((resolve) => to.bind(0, "127.0.0.1", resolve));
    const lengths: number[] = [];
    const arrival = new Promise<void>((resolve) => {
      to.on("message", ({ length }) => {
        if (lengths.push(length) === 4) resolve();
      });
    });
    from.sendBurst(numbered(3 * 1300 + 9), 3 * 1300 + 9, 1300, "127.0.0.1", to.address().port);
    await arrival;
    to.close();
    expect(lengths).toEqual([1300, 1300, 1300, 9]);
  });

  it("sends bursts of more than one call takes in several", async () => {
    const [from, to] = [await bound(), await bound()];
    for (const size of [20, 16_384]) {
      const bytes = numbered(200 * 20 + 4 * 16_384);
      const arrival = received(to, bytes.length);
      expect(from.sendBurst(bytes, bytes.length, size, "127.0.0.1", to.local.port)).toBe(bytes.length);
      expect(Buffer.concat(await arrival).equals(bytes)).toBe(true);
    }
    expect(from.sendErrors).toBe(0);
    expect(from.offloads).toContain("GSO");
  });

  it("sends datagram by datagram once the kernel has refused to cut a burst", async () => {
    const real = native()!;
    let refusals = 0;
    // As a card without checksum offload: EIO for whatever has a control message.
    const from = OffloadSocket.open(4, "127.0.0.1", 0, {
      ...real,
      find: (name, result, parameters) => {
        const found = real.find(name, result, parameters);
        if (name !== "sendmsg") return found;
        return (descriptor, message, flags) => {
          const { view } = createRequire(import.meta.url)("koffi") as {
            view(at: bigint, n: number): ArrayBuffer;
          };
          const control = new DataView(view(BigInt(message!), 56)).getBigUint64(40, true);
          return control > 0n ? -++refusals : found(descriptor!, message!, flags!);
        };
      },
      errno: () => 5,
    })!;
    const to = await bound();
    const bytes = numbered(5 * 1200);
    const arrival = received(to, bytes.length);
    expect(from.isSegmenting).toBe(true);
    expect(from.send(bytes, bytes.length, 1200, "127.0.0.1", to.local.port)).toBe(bytes.length);
    expect(from.isSegmenting).toBe(false);
    expect(Buffer.concat(await arrival).equals(bytes)).toBe(true);
    from.send(bytes, 2400, 1200, "127.0.0.1", to.local.port);
    expect(refusals).toBe(1);
    from.close();
  });

  it("counts what can never leave, and goes on", async () => {
    const [from, to] = [await bound(), await bound()];
    const bytes = numbered(65_535);
    expect(from.sendBurst(bytes, 65_535, 65_535, "127.0.0.1", to.local.port)).toBe(65_535);
    expect(from.sendErrors).toBe(1);
    const arrival = received(to, 5);
    from.sendBurst(bytes, 5, 5, "127.0.0.1", to.local.port);
    expect((await arrival)[0]).toEqual(Buffer.from(bytes.subarray(0, 5)));
  });

  it("leaves addresses that it does not understand to dgram", async () => {
    const from = await bound();
    expect(from.sendBurst(numbered(5), 5, 5, "fe80::1%lo", 9)).toBe(0);
    expect(from.sendBurst(numbered(5), 5, 5, "x".repeat(300), 9)).toBe(0);
  });

  it("does not let another socket share its port", async () => {
    const { local } = await bound();
    const thief = createSocket({ type: "udp4", reuseAddr: true });
    const refused = new Promise<string>((resolve) =>
      thief.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "")),
    );
    thief.bind(local.port, local.address, () => thief.close());
    expect(await refused).toBe("EADDRINUSE");
    thief.close();
  });

  it("tells why a port is not to be had", async () => {
    const { local } = await bound();
    await expect(UdpSocket.bind({ family: 4, address: "127.0.0.1", port: local.port })).rejects.toMatchObject(
      {
        code: "EADDRINUSE",
      },
    );
    await expect(UdpSocket.bind({ family: 4, address: "192.0.2.1", port: 0 })).rejects.toMatchObject({
      code: "EADDRNOTAVAIL",
    });
  });

  it("knows what the interface towards an address carries in one piece", () => {
    expect(payloadTowards(4, "127.0.0.1")).toBe(65_535 - 28);
    expect(payloadTowards(6, "::1")).toBe(65_536 - 48);
    expect(payloadTowards(4, "not an address")).toBeUndefined();
  });
});

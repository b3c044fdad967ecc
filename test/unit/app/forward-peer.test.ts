/** The peer of a link, as far as it needs no second one. */
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../../src/app/forward/remote-port-registry.ts";
import type { Link } from "../../../src/link/link.ts";

afterEach(() => void vi.useRealTimers());

describe("a link without a stream to spare", () => {
  it("lets a connection wait for half a minute, and no stream that comes later is kept", async () => {
    vi.useFakeTimers();
    let open: (stream: PassThrough) => void = () => undefined;
    const opened = new Promise<PassThrough>((resolve) => {
      open = resolve;
    });
    const link = Object.assign(new EventEmitter(), { openStream: () => opened });
    const peer = new ForwardPeer(link as unknown as Link, {
      permissions: new Permissions(),
      remotePorts: new RemotePortRegistry(),
      watcher: { failed: () => undefined },
    });
    const reached = peer.reach({ kind: "tcp", host: "a", port: 1 });
    const failed = expect(reached).rejects.toMatchObject({ code: "ERR_FORWARD_CROWDED" });
    await vi.advanceTimersByTimeAsync(30_000);
    await failed;
    const late = new PassThrough();
    open(late);
    await vi.advanceTimersByTimeAsync(0);
    expect(late.destroyed).toBe(true);
  });
});

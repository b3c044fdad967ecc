/**
 * One connection in a world, driven as the pure contract says: after each input or command the transmits are
 * drained, then the events, and the timer is armed anew. For tests that script a few ends by hand; `peer.ts`
 * does the same under every strain that endpoints add.
 */
import type { Path } from "../../src/base/path.ts";
import type { Connection, ConnectionEvent, Transmit } from "../../src/engine/connection/connection.ts";
import type { Waker, World } from "./world.ts";

const BUFFER_BYTES = 16 * 1500;

export abstract class DrivenConnection implements Waker {
  readonly connection: Connection;
  protected readonly world: World;
  private readonly event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
  private readonly transmit: Transmit;
  private armedAt = Number.POSITIVE_INFINITY;

  constructor(world: World, connection: Connection) {
    this.world = world;
    this.connection = connection;
    const nowhere: Path = { address: "nowhere", port: 0, socket: 0 };
    this.transmit = { buffer: new Uint8Array(BUFFER_BYTES), length: 0, segmentBytes: 0, path: nowhere };
  }

  /** A datagram of it leaves; `bytes` are a copy. */
  protected abstract onDatagram(path: Path, bytes: Uint8Array): void;
  protected abstract onEvent(event: ConnectionEvent): void;

  /** A datagram comes over `path`. */
  receive(path: Path, bytes: Uint8Array): void {
    this.connection.handleDatagram(this.world.now, path, bytes.slice());
    this.settle();
  }

  wake(now: number): void {
    // An earlier time took its place, or it was early itself.
    if (now < this.armedAt) return;
    this.armedAt = Number.POSITIVE_INFINITY;
    this.connection.handleTimeout(now);
    this.settle();
  }

  /** To be called after every command. */
  settle(): void {
    const { connection, transmit, event, world } = this;
    for (;;) {
      while (connection.pollTransmit(world.now, transmit)) {
        const { buffer, length, segmentBytes, path } = transmit;
        for (let at = 0; at < length; at += segmentBytes) {
          this.onDatagram(path, buffer.slice(at, Math.min(length, at + segmentBytes)));
        }
      }
      if (!connection.pollEvent(event)) break;
      this.onEvent(event);
    }
    const at = connection.pollTimeout();
    if (at === this.armedAt || at === Number.POSITIVE_INFINITY) return;
    this.armedAt = at;
    world.schedule(at, this);
  }
}

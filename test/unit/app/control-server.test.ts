/** The control socket of a process, and what can be in its place. */
import { mkdtempSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sendRequest } from "../../../src/app/control/control-client.ts";
import { controlPath, controlSockets } from "../../../src/app/control/control-folder.ts";
import { serveControl } from "../../../src/app/control/control-socket.ts";
import { failureOf } from "../../lib/key-folder.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "srudp-control-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const path = (): string => join(folder, `${process.pid}.sock`);

async function listenAt(where: string): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(where, resolve));
  return server;
}

const answer = async () => ({ error: { code: "ERR_USAGE", message: "here" } });

describe("the socket of a process", () => {
  it("takes the place of one that a killed process of the same number left behind", async () => {
    const dead = await listenAt(`${path()}.elsewhere`);
    // Closing deletes what was bound, so the socket is moved first.
    renameSync(`${path()}.elsewhere`, path());
    await new Promise((resolve) => dead.close(resolve));
    await serveControl(folder, answer);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(await sendRequest(path(), { do: "status" })).toEqual(await answer());
  });

  it("does not take the place of one that is answered", async () => {
    const other = await listenAt(path());
    expect((await failureOf(serveControl(folder, answer))).code).toBe("ERR_CONTROL_FOLDER");
    other.close();
  });

  it("is not bound where the system would cut its path", async () => {
    const long = join(folder, "x".repeat(100));
    expect((await failureOf(serveControl(long, answer))).message).toContain("longer than");
  });
});

describe("the folder of the sockets", () => {
  it("is not trusted when it is a symbolic link", async () => {
    const link = `${folder}.link`;
    symlinkSync(folder, link);
    try {
      expect((await failureOf(controlSockets(link))).message).toContain("not a folder");
      expect((await failureOf(controlPath(link, 1))).code).toBe("ERR_CONTROL_FOLDER");
    } finally {
      rmSync(link);
    }
  });
});

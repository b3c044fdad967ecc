/** Ports and sockets' paths that forwards listen on: what they take, and what they leave alone. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStreamPort } from "../../../src/app/forward/stream-port.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "srudp-port-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const ignore = (): void => undefined;

describe("a socket's path", () => {
  it("is private to the user, and gone when it is closed", async () => {
    const path = join(folder, "socket");
    const port = await openStreamPort({ kind: "unix", path }, ignore);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    port.close();
    expect(existsSync(path)).toBe(false);
  });

  it("that a killed process left behind is taken over", async () => {
    const path = join(folder, "socket");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    const port = await openStreamPort({ kind: "unix", path }, ignore);
    port.close();
  });

  it("of a living process is not", async () => {
    const path = join(folder, "socket");
    const port = await openStreamPort({ kind: "unix", path }, ignore);
    await expect(openStreamPort({ kind: "unix", path }, ignore)).rejects.toMatchObject({
      code: "ERR_FORWARD_BIND",
    });
    port.close();
  });

  it("that is somebody's file stays that file", async () => {
    const path = join(folder, "thesis.txt");
    writeFileSync(path, "years of work");
    await expect(openStreamPort({ kind: "unix", path }, ignore)).rejects.toMatchObject({
      code: "ERR_FORWARD_BIND",
    });
    expect(readFileSync(path, "utf8")).toBe("years of work");
  });
});

describe("a port of the loopback", () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
    all?.some(({ address }) => address === "::1"),
  );

  it.runIf(hasIpv6)("is not opened where another program would get half of its clients", async () => {
    const other: Server = createServer();
    other.listen({ host: "::1", port: 0, ipv6Only: true });
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    await expect(openStreamPort({ kind: "tcp", host: "", port }, ignore)).rejects.toMatchObject({
      code: "ERR_FORWARD_BIND",
      message: expect.stringContaining("taken"),
    });
    // Neither is the half that was free.
    const free = createServer();
    free.listen({ host: "127.0.0.1", port });
    await once(free, "listening");
    free.close();
    other.close();
  });
});

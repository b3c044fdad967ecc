import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { holderOfPort } from "../../../src/platform/port-holder.ts";
import { endAll, temporaryFolder } from "../../lib/srudp-process.ts";
import { openUdp, unusedPort } from "../../lib/udp.ts";

const HEADER =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

let server: Server | undefined;

afterEach(async () => {
  server?.close();
  server = undefined;
  await endAll();
});

/** A copy of the kernel's files in which one socket has UDP port 4242 (hexadecimal 1092). */
function kernelFiles(): string {
  const root = temporaryFolder();
  mkdirSync(`${root}/net`);
  const socket =
    " 17: 00000000:1092 00000000:0000 07 00000000:00000000 00:00000000 00000000    33        0 5150 2 0 0\n";
  writeFileSync(`${root}/net/udp`, HEADER + socket);
  return root;
}

function addProcess(root: string, id: number, words: readonly string[]): void {
  mkdirSync(`${root}/${id}/fd`, { recursive: true });
  symlinkSync("socket:[5150]", `${root}/${id}/fd/9`);
  writeFileSync(`${root}/${id}/cmdline`, words.map((word) => `${word}\0`).join(""));
  writeFileSync(`${root}/${id}/comm`, "node\n");
}

describe.skipIf(process.platform !== "linux")("the holder of a port", () => {
  it("is named for a UDP socket of this process", async () => {
    const socket = await openUdp();
    expect(await holderOfPort("udp", socket.address().port)).toContain(`process ${process.pid} (`);
    socket.close();
  });

  it("is named for a listening TCP socket of this process, and not for a connected one", async () => {
    server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    expect(await holderOfPort("tcp", port)).toContain(`process ${process.pid} (`);
    expect(await holderOfPort("udp", port)).toBeUndefined();
  });

  it("is nobody for a free port", async () => {
    expect(await holderOfPort("udp", await unusedPort())).toBeUndefined();
  });
});

describe("the name of a port's holder", () => {
  it("is the command of srudp, without the code that it was given", async () => {
    const root = kernelFiles();
    addProcess(root, 77, ["/usr/bin/node", "/opt/bin/srudp.js", "-4", "connect", "42-ocean-lizard-maple"]);
    expect(await holderOfPort("udp", 4242, root)).toBe("process 77 (srudp connect)");
  });

  it("is srudp alone where the command line is hidden", async () => {
    const root = kernelFiles();
    addProcess(root, 77, ["srudp (code hidden)"]);
    expect(await holderOfPort("udp", 4242, root)).toBe("process 77 (srudp)");
  });

  it("is the program for anything else", async () => {
    const root = kernelFiles();
    addProcess(root, 77, ["/usr/sbin/named", "-u", "bind"]);
    expect(await holderOfPort("udp", 4242, root)).toBe("process 77 (node)");
  });

  it("is a user where the process is hidden", async () => {
    expect(await holderOfPort("udp", 4242, kernelFiles())).toBe("a process of user 33");
  });

  it("is missing where the system has no such files", async () => {
    expect(await holderOfPort("udp", 4242, temporaryFolder())).toBeUndefined();
  });
});

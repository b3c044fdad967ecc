/** UDP ports on one machine: who gets which, and what is said to whoever comes second. */
import { afterEach, describe, expect, it } from "vitest";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

const env = { SRUDP_CODE: "42-ocean-lizard-maple" };

afterEach(endAll);

describe("a UDP port of this machine", () => {
  it("goes to a listener that starts after a connector that waits for it, and the two meet", async () => {
    const port = String(await unusedPort());
    const connector = SrudpProcess.start(["connect", `127.0.0.1:${port}`], { env });
    await connector.event("silence");
    const listener = SrudpProcess.start(["listen", port], { env });
    await listener.event("listening");
    await connector.input.write("early");
    connector.input.end();
    listener.input.end();
    expect(String(await listener.output.rest())).toBe("early");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it.skipIf(process.platform !== "linux")(
    "is refused with the name of the process that holds it",
    async () => {
      const first = SrudpProcess.start(["listen", "0"]);
      const { port } = await first.event("listening");
      const { status, code, message } = await SrudpProcess.start(["listen", String(port)]).failure();
      expect({ status, code }).toEqual({ status: 71, code: "ERR_BIND" });
      expect(message).toContain(`held by process ${first.pid} (srudp listen)`);
    },
  );
});

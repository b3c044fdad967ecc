/** Two who meet by what people carry: the offer to the connector, its answer back. Nothing else passes between them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

// Nothing answers at port 9: own addresses are all that can be told.
const WAYS = ["-4", "-n", "--stun", "127.0.0.1:9", "--no-port-mapping", "--no-dht", "--no-lan"];

interface Offer {
  readonly listener: SrudpProcess;
  readonly answerFile: string;
  readonly ticket: string;
}

async function offer(): Promise<Offer> {
  const answerFile = join(temporaryFolder(), "answer");
  const listener = SrudpProcess.start(["listen", "--ticket", "--answer-file", answerFile, ...WAYS]);
  const { ticket } = await listener.event("ticket");
  return { listener, answerFile, ticket };
}

describe("a ticket", () => {
  it("leads to a link once its answer was brought back, and both pipes carry everything", async () => {
    const { listener, answerFile, ticket } = await offer();
    expect(ticket).toMatch(/^srudpt1[\w-]+$/);
    const connector = SrudpProcess.start(["connect", ...WAYS, ticket]);
    const answer = await connector.event("answer");
    writeFileSync(answerFile, `${answer.ticket}\n`);
    expect(await connector.event("connected")).toMatchObject({ auth: "ticket", path: "lan" });
    await listener.event("connected");
    await connector.input.write("from the one who came");
    connector.input.end();
    await listener.input.write("from the one who waited");
    listener.input.end();
    expect((await listener.output.rest()).toString()).toBe("from the one who came");
    expect((await connector.output.rest()).toString()).toBe("from the one who waited");
    expect(await connector.ended).toBe(0);
    expect(await listener.ended).toBe(0);
  });

  it("is refused where it is changed, and where it is an answer", async () => {
    const { ticket } = await offer();
    const changed = `${ticket.slice(0, 40)}${ticket[40] === "A" ? "B" : "A"}${ticket.slice(41)}`;
    const failure = await SrudpProcess.start(["connect", ...WAYS, changed]).failure();
    expect(failure).toMatchObject({ status: 65, code: "ERR_TICKET_FORMAT" });
    expect(failure.message).not.toContain(ticket.slice(50, 80));
    const connector = SrudpProcess.start(["connect", ...WAYS, ticket]);
    const answer = await connector.event("answer");
    const turned = await SrudpProcess.start(["connect", ...WAYS, answer.ticket]).failure();
    expect(turned).toMatchObject({ status: 64, code: "ERR_USAGE" });
  });

  it("makes no link with an answer to another ticket", async () => {
    const { listener, answerFile } = await offer();
    const other = await offer();
    const connector = SrudpProcess.start(["connect", "-w", "4", ...WAYS, other.ticket]);
    const answer = await connector.event("answer");
    writeFileSync(answerFile, `${answer.ticket}\n`);
    expect(await connector.failure()).toMatchObject({ status: 75 });
    expect(listener.events.some(({ event }) => event === "connected")).toBe(false);
  });

  it("needs a terminal or a file for its answer", async () => {
    const failure = await SrudpProcess.start(["listen", "--ticket", ...WAYS]).failure();
    expect(failure).toMatchObject({ status: 64, code: "ERR_USAGE" });
  });
});

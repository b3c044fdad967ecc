/** A test runner that is killed: it starts a listener, says which, and waits. */
import { startListener } from "./pair.ts";

const { listener } = await startListener(["-k", "--accept-new"]);
process.stdout.write(`${listener.pid}\n`);
setInterval(() => undefined, 60_000);

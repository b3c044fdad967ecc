/** Lines of text on a socket. */
import type { Socket } from "node:net";

/** No honest line is longer. */
const LINE_LIMIT_CHARACTERS = 4 * 1024 * 1024;

/** Calls `take` with each whole line that arrives, without its end. Whoever sends none is cut off. */
export function onLine(socket: Socket, take: (line: string) => void): void {
  let held = "";
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    const lines = (held + text).split("\n");
    held = lines.pop()!;
    for (const line of lines) take(line);
    if (held.length > LINE_LIMIT_CHARACTERS) socket.destroy();
  });
}

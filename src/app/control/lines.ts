/** Lines of text on a socket. */
import type { Socket } from "node:net";

/** No valid line is longer. */
const MAX_LINE_CHARACTERS = 4 * 1024 * 1024;

/**
 * Calls `take` with each whole line that arrives, without its end.
 *
 * @param refuse called once, in place of any further line, when a line is longer than 4 Mi characters
 */
export function onLine(socket: Socket, take: (line: string) => void, refuse: () => void): void {
  let held = "";
  let isRefused = false;
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    if (isRefused) return;
    const lines = (held + text).split("\n");
    held = lines.pop()!;
    for (const line of lines) {
      if (line.length <= MAX_LINE_CHARACTERS) take(line);
      else isRefused = true;
    }
    if (!isRefused && held.length <= MAX_LINE_CHARACTERS) return;
    isRefused = true;
    held = "";
    refuse();
  });
}

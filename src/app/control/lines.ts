/** Reads lines of text from a socket. */
import type { Socket } from "node:net";

/** Maximum length of a valid line. */
const MAX_LINE_CHARACTERS = 4 * 1024 * 1024;

/**
 * Calls `take` with each complete line, without its line break.
 *
 * @param refuse called once, instead of `take`, when a line is longer than 4 Mi characters
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

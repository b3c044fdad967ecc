import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  formatBytes,
  formatDuration,
  type ProgressSample,
  progressText,
  showProgress,
} from "../../../src/cli/terminal/progress.ts";
import { Reporter } from "../../../src/cli/terminal/reporter.ts";

const sample = (atMs: number, sentBytes: number, receivedBytes = 0): ProgressSample => ({
  atMs,
  sentBytes,
  receivedBytes,
  rttMs: 21.44,
  path: "direct",
});

describe("numbers for people", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [1540, "1.5 kB"],
    [999_949, "999.9 kB"],
    [999_951, "1.0 MB"],
    [23_400_000, "23.4 MB"],
    [1_073_741_824, "1.1 GB"],
  ])("%d bytes are %j", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, "0 ms"],
    [850.4, "850 ms"],
    [999.7, "1.0 s"],
    [3210, "3.2 s"],
    [59_980, "1 min 00 s"],
    [245_000, "4 min 05 s"],
    [7_380_000, "2 h 03 min"],
  ])("%d ms are %j", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe("the progress line", () => {
  it("shows bytes and rate of the direction that is in use", () => {
    expect(progressText(sample(0, 0), sample(2000, 4_000_000))).toBe(
      "sent 4.0 MB at 2.0 MB/s · direct 21.4 ms",
    );
    expect(progressText(sample(0, 0, 0), sample(1000, 0, 500))).toBe(
      "received 500 B at 500 B/s · direct 21.4 ms",
    );
    expect(progressText(sample(0, 0, 0), sample(1000, 10, 500))).toContain(
      "sent 10 B at 10 B/s · received 500 B",
    );
  });

  it("tells share and time left when the whole is known", () => {
    expect(progressText(sample(0, 0), sample(1000, 250), 1000)).toBe(
      "sent 250 B 25 % at 250 B/s · 3.0 s left · direct 21.4 ms",
    );
    expect(progressText(sample(0, 0), sample(1000, 1100), 1000)).toContain("100 %");
    expect(progressText(sample(0, 0), sample(0, 0), 0)).not.toContain("%");
  });

  describe("over time", () => {
    beforeEach(() => {
      vi.useFakeTimers();
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    function watch(options: { isTTY: boolean; json?: boolean; sharesTerminal?: boolean }): {
      written: () => string;
      set: (sent: number, received: number) => void;
      stop: () => void;
    } {
      let written = "";
      let state = sample(0, 0);
      const stream = {
        isTTY: options.isTTY,
        columns: 30,
        write: (text: string) => {
          written += text;
        },
      };
      const reporter = new Reporter(stream, { json: options.json ?? false, quiet: true, verbosity: 0 });
      const stop = showProgress(reporter, {
        sharesTerminal: options.sharesTerminal ?? false,
        sample: () => state,
      });
      return {
        written: () => written,
        set: (sent, received) => {
          state = sample(state.atMs + 1000, sent, received);
        },
        stop,
      };
    }

    it("is redrawn in place on a terminal, cut to its width, and cleared at the end", () => {
      const { written, set, stop } = watch({ isTTY: true });
      set(123_456_789, 0);
      vi.advanceTimersByTime(250);
      expect(written()).toBe("sent 123.5 MB at 123.5 MB/s ·");
      stop();
      expect(written().endsWith("\r\u001b[K")).toBe(true);
      vi.advanceTimersByTime(1000);
      expect(written().match(/sent/g)).toHaveLength(1);
    });

    it("is a line a second elsewhere, and an event in JSON", () => {
      const log = watch({ isTTY: false });
      vi.advanceTimersByTime(2000);
      log.stop();
      expect(log.written().trim().split("\n")).toHaveLength(2);
      const json = watch({ isTTY: false, json: true });
      vi.advanceTimersByTime(1000);
      json.stop();
      expect(JSON.parse(json.written())).toEqual({
        event: "progress",
        sentBytes: 0,
        receivedBytes: 0,
        rttMs: 21.4,
        path: "direct",
      });
    });

    it("gives way for good to the peer's bytes on the same terminal", () => {
      const { written, set } = watch({ isTTY: true, sharesTerminal: true });
      vi.advanceTimersByTime(250);
      set(5, 1);
      vi.advanceTimersByTime(250);
      const before = written();
      vi.advanceTimersByTime(5000);
      expect(written()).toBe(before);
      expect(before.endsWith("\r\u001b[K")).toBe(true);
    });
  });
});

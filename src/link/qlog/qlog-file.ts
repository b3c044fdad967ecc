/**
 * Where a connection's trace goes: one file, written behind the connection's back.
 *
 * A link never waits for a disk. Records gather in memory and leave in large writes, one at a time; when the
 * disk is slower than the link, what does not fit any more is dropped and counted. Only when the process ends
 * is the rest written on the spot, because nothing runs after that.
 */
import { close, constants, open, openSync, write, writeSync } from "node:fs";
import { access, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SrudpError } from "../../base/errors.ts";
import { quotePath } from "../../platform/private-file.ts";

/** What a trace is written to. */
export interface QlogSink {
  /** Begins the file `name` with its header; what was written before follows it. */
  open(name: string, header: string): void;
  /** Takes a record (or several); false when it had to be dropped. */
  write(record: string): boolean;
  /** Nothing further comes. What never got a name is thrown away. */
  close(): void;
}

/** Waiting for the disk, at most; what a link of a gigabit tells in about a tenth of a second. */
const MAX_WAITING_BYTES: number = 4 * 1024 * 1024;
/** The same before there is a file: a handshake takes a tenth of it, and strangers begin many. */
const MAX_UNNAMED_BYTES: number = 32 * 1024;
/** Enough for a write of its own. */
const WRITE_BYTES: number = 64 * 1024;
/** Less than that is written after this. */
const WRITE_AFTER_MS = 250;
/** For the eyes of its owner: who talked to whom, and when. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const WRITE_FLAGS: number = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;

/**
 * Makes the folder for traces if it is not there, and finds out whether files can be made in it.
 *
 * @throws SrudpError ERR_FILE_UNWRITABLE
 */
export async function prepareQlogDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
    if (!(await stat(path)).isDirectory()) throw Object.assign(new Error(path), { code: "ENOTDIR" });
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = `No qlog file can be written to ${quotePath(path)} (${code ?? "unknown"})`;
    throw new SrudpError("ERR_FILE_UNWRITABLE", what, error);
  }
}

export class QlogFile implements QlogSink {
  /** Records that were dropped, because the disk was too slow or failed. */
  droppedRecords = 0;
  /** Resolves when everything is written, or given up. */
  readonly finished: Promise<void>;
  readonly #directory: string;
  #path: string | undefined;
  #descriptor = -1;
  /** Records that wait, and those of the write that is under way. */
  #text = "";
  #textRecords = 0;
  #writing: Buffer | undefined;
  #writingRecords = 0;
  /** Where in the file the write that is under way goes. */
  #position = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isOver = false;
  #finish!: () => void;

  constructor(directory: string) {
    this.#directory = directory;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  open(name: string, header: string): void {
    if (this.#path !== undefined || this.#isClosed) return;
    const path = join(this.#directory, name);
    this.#path = path;
    this.#text = header + this.#text;
    this.#textRecords++;
    keepUntilExit(this);
    open(path, WRITE_FLAGS | constants.O_EXCL, FILE_MODE, (error, descriptor) => {
      if (error !== null) {
        this.#giveUp();
        return;
      }
      this.#descriptor = descriptor;
      this.#write();
    });
  }

  write(record: string): boolean {
    if (this.#isClosed) return false;
    const most = this.#path === undefined ? MAX_UNNAMED_BYTES : MAX_WAITING_BYTES;
    const waitingBytes = this.#text.length + (this.#writing?.length ?? 0);
    if (this.#isOver || waitingBytes + record.length > most) {
      this.droppedRecords++;
      return false;
    }
    this.#text += record;
    this.#textRecords++;
    if (this.#descriptor >= 0 && this.#writing === undefined) {
      if (this.#text.length >= WRITE_BYTES) this.#write();
      else this.#timer ??= setTimeout(() => this.#write(), WRITE_AFTER_MS).unref();
    }
    return true;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#path === undefined || this.#isOver) this.#end();
    else if (this.#descriptor >= 0 && this.#writing === undefined) this.#write();
  }

  /** The process ends: writes what there is, at once. */
  writeNow(): void {
    if (this.#path === undefined || this.#isOver) return;
    this.#isOver = true;
    try {
      // A file that is just being opened is opened once more, and a write under way done again: same bytes, same place.
      const descriptor =
        this.#descriptor >= 0 ? this.#descriptor : openSync(this.#path, WRITE_FLAGS, FILE_MODE);
      for (const bytes of [this.#writing ?? Buffer.alloc(0), Buffer.from(this.#text)]) {
        for (let at = 0; at < bytes.length; )
          at += writeSync(descriptor, bytes, at, undefined, this.#position + at);
        this.#position += bytes.length;
      }
    } catch {
      // Nobody is left to be told.
    }
  }

  /** Begins the next write, or ends when there is nothing left and nothing will come. */
  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text === "" || this.#isOver) {
      if (this.#isClosed) this.#end();
      return;
    }
    this.#writing = Buffer.from(this.#text);
    this.#writingRecords = this.#textRecords;
    this.#text = "";
    this.#textRecords = 0;
    this.#writeRest(this.#writing);
  }

  #writeRest(bytes: Buffer): void {
    write(this.#descriptor, bytes, 0, bytes.length, this.#position, (error, writtenBytes) => {
      if (this.#isOver) return;
      if (error !== null) {
        this.#giveUp();
        return;
      }
      this.#position += writtenBytes;
      if (writtenBytes < bytes.length) {
        this.#writing = bytes.subarray(writtenBytes);
        this.#writeRest(this.#writing);
        return;
      }
      this.#writing = undefined;
      if (this.#isClosed || this.#text.length >= WRITE_BYTES) this.#write();
      else if (this.#text !== "") this.#timer ??= setTimeout(() => this.#write(), WRITE_AFTER_MS).unref();
    });
  }

  /** The disk refuses: the link goes on without a trace. */
  #giveUp(): void {
    this.#isOver = true;
    this.droppedRecords += this.#textRecords + this.#writingRecords;
    this.#text = "";
    this.#writing = undefined;
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#text = "";
    untilExit.delete(this);
    const descriptor = this.#descriptor;
    this.#descriptor = -1;
    if (descriptor < 0) this.#finish();
    else close(descriptor, () => this.#finish());
  }
}

/** Files to be completed when the process ends. */
const untilExit: Set<QlogFile> = new Set();
let isExitAwaited = false;

/** Traces that are not complete yet. */
export function openTraceCount(): number {
  return untilExit.size;
}

function keepUntilExit(file: QlogFile): void {
  untilExit.add(file);
  if (isExitAwaited) return;
  isExitAwaited = true;
  process.on("exit", () => {
    for (const one of untilExit) one.writeNow();
  });
}

/**
 * The file of a connection's trace, written asynchronously.
 *
 * A link never waits for a disk. Records are collected in memory and written in large blocks, one
 * at a time. If the disk is slower than the link, records that exceed the buffer are dropped and
 * counted. At process exit the rest is written synchronously, because no callback runs after that.
 */
import { close, constants, open, openSync, write, writeSync } from "node:fs";
import { access, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SrudpError } from "../../base/errors.ts";
import { quotePath } from "../../platform/private-file.ts";

/** The destination of a trace. */
export interface QlogSink {
  /**
   * Opens the file `name` and writes its header. Records that were written before follow the
   * header.
   */
  open(name: string, header: string): void;
  /** Writes one or more records. Returns false when they were dropped. */
  write(record: string): boolean;
  /** Ends the trace. A trace that was never named is discarded. */
  close(): void;
}

/**
 * Maximum size of the records that wait for the disk: about a tenth of a second of a gigabit link.
 */
const MAX_WAITING_BYTES: number = 4 * 1024 * 1024;
/**
 * The same before the file has a name. A handshake takes a tenth of it, and unauthenticated peers
 * can start many handshakes.
 */
const MAX_UNNAMED_BYTES: number = 32 * 1024;
/** Size from which waiting records are written at once. */
const WRITE_BYTES: number = 64 * 1024;
/** Smaller amounts are written after this time. */
const WRITE_AFTER_MS = 250;
/** Only the owner may read it, because it reveals which addresses communicated and when. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const WRITE_FLAGS: number = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;

/**
 * Creates the folder for traces if it does not exist, and checks that files can be created in it.
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
  /** Records that were dropped because the disk was too slow or failed. */
  droppedRecords = 0;
  /** Resolves when everything is written or the trace was abandoned. */
  readonly finished: Promise<void>;
  readonly #directory: string;
  #path: string | undefined;
  #descriptor = -1;
  /** The waiting records, and those of the pending write. */
  #text = "";
  #textRecords = 0;
  #writing: Buffer | undefined;
  #writingRecords = 0;
  /** The file position of the pending write. */
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
    const limitBytes = this.#path === undefined ? MAX_UNNAMED_BYTES : MAX_WAITING_BYTES;
    const waitingBytes = this.#text.length + (this.#writing?.length ?? 0);
    if (this.#isOver || waitingBytes + record.length > limitBytes) {
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

  /** Writes all records synchronously at process exit. */
  writeNow(): void {
    if (this.#path === undefined || this.#isOver) return;
    this.#isOver = true;
    try {
      // If an asynchronous open or write is pending, it is repeated here: the same bytes at the
      // same position.
      const descriptor =
        this.#descriptor >= 0 ? this.#descriptor : openSync(this.#path, WRITE_FLAGS, FILE_MODE);
      for (const bytes of [this.#writing ?? Buffer.alloc(0), Buffer.from(this.#text)]) {
        for (let at = 0; at < bytes.length; )
          at += writeSync(descriptor, bytes, at, undefined, this.#position + at);
        this.#position += bytes.length;
      }
    } catch {
      // The process is exiting, so the error is not reported.
    }
  }

  /** Starts the next write, or finishes if nothing is left and no record will follow. */
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

  /** Abandons the trace after a disk error. The link continues without it. */
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

/** Files to complete at process exit. */
const untilExit: Set<QlogFile> = new Set();
let isExitAwaited = false;

/** Number of traces that are not complete yet. */
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

import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { Redacted } from "../../../src/store/redacted.ts";
import {
  readCodeDescriptor,
  readCodeFile,
  readPassphraseFile,
  readSecretFile,
  takeEnvironmentCode,
} from "../../../src/store/secret-sources.ts";
import { encodeKey, encodeSecret } from "../../../src/wire/key-text.ts";

const CANARY = "17-velvet-zebra-olive";
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "srudp-secrets-"));
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function plant(text: string | Uint8Array, mode = 0o600): string {
  const path = join(home, "secret");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

async function failure(action: Promise<unknown>): Promise<SrudpError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SrudpError);
  return error as SrudpError;
}

describe("a wrapped secret", () => {
  it("prints as [redacted] in every way", () => {
    const secret = new Redacted(CANARY);
    for (const text of [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true }),
    ]) {
      expect(text).toContain("[redacted]");
      expect(text).not.toContain("velvet");
    }
    expect(secret.reveal()).toBe(CANARY);
  });
});

describe("the environment's code", () => {
  it("is taken out of the environment, right or wrong", () => {
    const environment: NodeJS.ProcessEnv = { SRUDP_CODE: "17 Velvet zebr olive\n", PATH: "/bin" };
    expect(takeEnvironmentCode(environment)?.reveal()).toBe(CANARY);
    expect(environment).toEqual({ PATH: "/bin" });
    environment.SRUDP_CODE = "17-velvet";
    expect(() => takeEnvironmentCode(environment)).toThrow("SRUDP_CODE holds no code");
    expect("SRUDP_CODE" in environment).toBe(false);
    expect(takeEnvironmentCode(environment)).toBeUndefined();
  });
});

describe("a code as it was pasted", () => {
  const pasted = [`"${CANARY}"`, `${CANARY}.`, `${CANARY}\u200b`, `srudp connect ${CANARY} --no-lan\n`];

  it.each(pasted)("is taken from the environment: %j", (text) => {
    expect(takeEnvironmentCode({ SRUDP_CODE: text })?.reveal()).toBe(CANARY);
  });

  it.each(pasted)("is taken from a file: %j", async (text) => {
    expect((await readCodeFile(plant(text))).reveal()).toBe(CANARY);
  });
});

describe("a code file", () => {
  it("holds a code in any tolerated form, and may be readable by others", async () => {
    expect((await readCodeFile(plant(`${CANARY}\n`, 0o644))).reveal()).toBe(CANARY);
  });

  it("may be a pipe", async () => {
    const path = join(home, "pipe");
    execFileSync("mkfifo", [path]);
    const writer = spawn("sh", ["-c", `printf '%s' ${CANARY} > ${path}`]);
    expect((await readCodeFile(path)).reveal()).toBe(CANARY);
    writer.kill();
  });

  it.each(["", "7", "7-", "17-velvet-zebra-olives", `${CANARY}\n${CANARY}`, "7".repeat(1_000_000)])(
    "is refused without a word of what it holds: %.30j",
    async (text) => {
      const error = await failure(readCodeFile(plant(text)));
      expect(error.code).toBe("ERR_CODE_FORMAT");
      expect(error.message).not.toMatch(/velvet|zebra|olive|777/);
    },
  );

  it("that is missing or a folder is named", async () => {
    for (const path of [join(home, "none"), home]) {
      const error = await failure(readCodeFile(path));
      expect(error.code).toBe("ERR_FILE_UNREADABLE");
      expect(error.message).toContain(path);
    }
  });
});

describe("a code's descriptor", () => {
  it("is read up to the end of the line and closed", async () => {
    const descriptor = openSync(plant(`${CANARY}\nrest`), "r");
    expect((await readCodeDescriptor(descriptor)).reveal()).toBe(CANARY);
    expect(() => fstatSync(descriptor)).toThrow("EBADF");
  });

  it("gives up no byte behind the line", async () => {
    const path = plant(`${CANARY}\nrest`);
    const descriptor = openSync(path, "r");
    const copy = openSync(`/proc/self/fd/${descriptor}`, "r");
    await readCodeDescriptor(descriptor);
    const bytes = Buffer.alloc(3);
    readSync(copy, bytes, 0, 3, null);
    expect(bytes.toString()).toBe("17-");
    closeSync(copy);
  });

  it("that is not open is told, exit 66", async () => {
    expect((await failure(readCodeDescriptor(999))).code).toBe("ERR_FILE_UNREADABLE");
  });
});

describe("a secret file", () => {
  const bytes = new Uint8Array(32).fill(7);

  it("holds a secret with a checksum and is for its owner alone", async () => {
    expect((await readSecretFile(plant(`${encodeSecret(bytes)}\n`))).reveal()).toEqual(bytes);
    const error = await failure(readSecretFile(plant(encodeSecret(bytes), 0o640)));
    expect(error.code).toBe("ERR_KEY_FILE");
    expect(error.message).toContain("chmod 600");
  });

  it.each([encodeKey(bytes), "correct horse battery staple", `\uFEFF${encodeSecret(bytes)}`])(
    "refuses %j",
    async (text) => {
      expect((await failure(readSecretFile(plant(text)))).code).toMatch(/^ERR_(SECRET_FORMAT|KEY_FILE)$/);
    },
  );

  it("may be an open descriptor", async () => {
    const descriptor = openSync(plant(encodeSecret(bytes)), "r");
    expect((await readSecretFile(`/dev/fd/${descriptor}`)).reveal()).toEqual(bytes);
    closeSync(descriptor);
  });
});

describe("a passphrase file", () => {
  it("loses the end of its line and nothing else", async () => {
    expect((await readPassphraseFile(plant("  twelve chars \n"))).reveal()).toBe("  twelve chars ");
    expect((await readPassphraseFile(plant("exactly12chr\r\n"))).reveal()).toBe("exactly12chr");
  });

  it("is the same from a keyboard that composes and one that does not", async () => {
    const composed = await readPassphraseFile(plant("caf\u00e9 au lait!"));
    const decomposed = await readPassphraseFile(plant("cafe\u0301 au lait!"));
    expect(decomposed.reveal()).toBe(composed.reveal());
  });

  it("needs twelve characters on one line", async () => {
    for (const text of ["eleven char\n", "", "two lines\nare not one"]) {
      const error = await failure(readPassphraseFile(plant(text)));
      expect(error.code).toBe("ERR_PASSPHRASE_FORMAT");
      expect(error.message).not.toContain("eleven char");
    }
  });
});

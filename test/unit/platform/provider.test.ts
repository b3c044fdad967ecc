/** Which AEAD a process runs on, and what becomes of one that is not what it says. */
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { opensslPrimitives } from "../../../src/platform/crypto/openssl-provider.ts";
import { choose } from "../../../src/platform/crypto/provider.ts";
import { type Native, native } from "../../../src/platform/native.ts";

const hasKoffi = ((): boolean => {
  try {
    createRequire(import.meta.url).resolve("koffi");
    return true;
  } catch {
    return false;
  }
})();

describe("the choice of primitives", () => {
  it.skipIf(!hasKoffi)("is OpenSSL's own functions where koffi is installed", () => {
    expect(choose(undefined).aead.name).toBe("openssl");
    expect(choose("openssl").name).toBe("openssl");
  });

  it("can be asked for by name", () => {
    expect(choose("node").aead.name).toBe("node");
    expect(choose("noble").aead.name).toBe("noble");
  });

  it("refuses a name that it does not know", () => {
    expect(() => choose("libsodium")).toThrowError(expect.objectContaining({ code: "ERR_USAGE" }));
  });
});

describe.skipIf(!hasKoffi)("OpenSSL by its addresses", () => {
  /** The functions of this process, with one replaced. */
  function withFunction(
    replaced: string,
    by: (real: (...v: (number | null)[]) => number) => typeof real,
  ): Native {
    const real = native()!;
    return {
      ...real,
      find: (name, result, parameters) => {
        const found = real.find(name, result, parameters);
        return name === replaced ? by(found) : found;
      },
    };
  }

  it("is not used where a function is missing", () => {
    const real = native()!;
    const without: Native = {
      ...real,
      find: (name, result, parameters) => {
        if (name === "EVP_chacha20_poly1305") throw new Error("no such function");
        return real.find(name, result, parameters);
      },
    };
    expect(opensslPrimitives(without)).toBeUndefined();
  });

  it("is not used where it verifies no tag", () => {
    const blind = withFunction("EVP_CipherFinal_ex", (final) => (...values) => {
      final(...values);
      return 1;
    });
    expect(opensslPrimitives(blind)).toBeUndefined();
  });

  it("is not used where it seals otherwise than node:crypto", () => {
    const other = withFunction("EVP_chacha20_poly1305", () =>
      native()!.find("EVP_aes_256_gcm", "uintptr_t", []),
    );
    expect(opensslPrimitives(other)).toBeUndefined();
  });

  it("frees the context of a key that nobody holds any more", async () => {
    let freed = 0;
    const counting = withFunction("EVP_CIPHER_CTX_free", (free) => (...values) => {
      freed++;
      return free(...values);
    });
    const { aead } = opensslPrimitives(counting)!;
    aead.key(new Uint8Array(32));
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let turn = 0; turn < 20 && freed === 0; turn++) {
      collect();
      // Finalization waits for a turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(freed).toBeGreaterThan(0);
  });
});

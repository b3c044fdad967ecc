import { describe, expect, it } from "vitest";
import {
  classifyMapping,
  type MappingSample,
  predictPorts,
} from "../../../src/traversal/gather/mapping-samples.ts";

const LOCAL_PORT = 5000;

/** Samples as `server:port>mapped`, in the order of the questions. */
function samples(...texts: readonly string[]): MappingSample[] {
  return texts.map((text) => {
    const [server, port, seen] = text.split(/[:>]/);
    return {
      serverAddress: `192.0.2.${server}`,
      serverPort: Number(port),
      address: "198.51.100.1",
      port: Number(seen),
    };
  });
}

function classify(isFinal: boolean, ...texts: readonly string[]) {
  return classifyMapping(LOCAL_PORT, samples(...texts), [], isFinal);
}

describe("one port for all servers", () => {
  it("is endpoint-independent after three answers, preserved or not", () => {
    expect(classify(false, "1:1>5000", "2:1>5000", "3:1>5000")).toEqual({
      mapping: "endpointIndependent",
      portPattern: "preserved",
      isHard: false,
    });
    expect(classify(false, "1:1>777", "1:2>777", "2:1>777").portPattern).toBe("consistent");
  });

  it("stays so when one of four servers is wrong", () => {
    expect(classify(false, "1:1>5000", "2:1>5000", "3:1>9", "4:1>5000").mapping).toBe("endpointIndependent");
    expect(classify(false, "1:1>5000", "2:1>9", "3:1>5000").mapping).toBe("addressAndPortDependent");
  });
});

describe("answers that are missing", () => {
  it("classify nothing while more can come", () => {
    expect(classify(false).mapping).toBe("unknown");
    expect(classify(false, "1:1>5000", "2:1>5000").mapping).toBe("unknown");
    expect(classify(false, "1:1>5000", "1:2>6000").mapping).toBe("unknown");
  });

  it("leave two to decide at the end, and one nothing", () => {
    expect(classify(true, "1:1>5000").mapping).toBe("unknown");
    expect(classify(true, "1:1>5000", "2:1>5000").mapping).toBe("endpointIndependent");
    expect(classify(true, "1:1>5000", "1:2>60000").mapping).toBe("addressAndPortDependent");
  });
});

describe("a port for each remote", () => {
  it("by address only", () => {
    const found = classify(false, "1:1>5000", "1:2>5000", "2:1>40000", "2:2>40000");
    expect(found.mapping).toBe("addressDependent");
  });

  it("counted up, with other traffic in between", () => {
    const found = classify(false, "1:1>40000", "1:2>40001", "2:1>40004", "2:2>40005");
    expect(found).toEqual({
      mapping: "addressAndPortDependent",
      portPattern: "sequential",
      portStep: 1,
      isHard: false,
    });
    expect(predictPorts(found, 40005, 4)).toEqual([40006, 40007, 40008, 40009]);
  });

  it("counted down, and not beyond the last port", () => {
    const found = classify(false, "1:1>1034", "1:2>1032", "2:1>1028");
    expect(found).toMatchObject({ portPattern: "sequential", portStep: -2 });
    expect(predictPorts(found, 1028, 16)).toEqual([1026, 1024]);
    expect(predictPorts({ ...found, portStep: 2 }, 65531, 16)).toEqual([65533, 65535]);
  });

  it("at random is hard, and nothing is predicted", () => {
    const found = classify(false, "1:1>40000", "1:2>12345", "2:1>64000", "2:2>2000");
    expect(found).toEqual({ mapping: "addressAndPortDependent", portPattern: "random", isHard: true });
    expect(predictPorts(found, 2000, 16)).toEqual([]);
  });

  it("at random out of a block shows about where the block lies", () => {
    const found = classifyMapping(
      LOCAL_PORT,
      samples("1:1>40900", "1:2>40100", "2:1>40500", "2:2>40300"),
      [40020, 40990, 40700],
      false,
    );
    expect(found.isHard).toBe(true);
    expect(found.portBlock!.low).toBeGreaterThan(39_700);
    expect(found.portBlock!.low).toBeLessThanOrEqual(40_020);
    expect(found.portBlock!.high).toBeGreaterThanOrEqual(40_990);
    expect(found.portBlock!.high).toBeLessThan(41_300);
  });

  it("three steps up and a leap down are no sequence", () => {
    expect(classify(false, "1:1>40000", "1:2>40001", "2:1>40002", "2:2>39000").portPattern).toBe("random");
    expect(classify(false, "1:1>40000", "1:2>40011", "2:1>40022", "2:2>40033").portPattern).toBe("random");
  });
});

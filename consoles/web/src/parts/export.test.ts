import { describe, expect, it } from "vitest";

import { fileName, toCsv } from "./export";
import { escapeXml } from "./graph/svg";

interface Row {
  name: string;
  n: number | null;
}
const columns = [
  { name: "name", value: (row: Row) => row.name },
  { name: "n", value: (row: Row) => row.n },
];

describe("toCsv", () => {
  it("quotes what needs it and leaves out what was not measured", () => {
    expect(toCsv(columns, [{ name: 'a "b", c\nd', n: null }])).toBe('name,n\r\n"a ""b"", c\nd",\r\n');
  });
  it("defuses names that a spreadsheet would run", () => {
    for (const name of ["=1+1", "+1", "-1", "@x", "\tx"]) expect(toCsv(columns, [{ name, n: 1 }])).toContain(`'${name}`);
  });
  it("leaves negative numbers alone", () => {
    expect(toCsv(columns, [{ name: "a", n: -1840 }])).toContain("a,-1840");
  });
});

describe("escapeXml", () => {
  it("lets no name become markup", () => {
    expect(escapeXml(`<script>"&'\u0000`)).toBe("&#60;script&#62;&#34;&#38;&#39;");
  });
});

describe("fileName", () => {
  it("carries the moment", () => {
    expect(fileName("topology", "2026-11-21T14:02:51.120Z", "csv")).toBe("holm-topology-20261121T140251Z.csv");
  });
});

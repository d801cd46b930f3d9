import { describe, expect, it } from "vitest";

import { parseExact, queryBody } from "../../api/client";
import type { AskedSite, EventStore, QueryAnswer, QueryTable } from "../../api/types";
import { missingText, worstFirst } from "../../parts/standing";
import { answerRows, records, shown, sortValue, stamp, summary, uniqueNames, widths } from "./answer";
import { oneLine, parse, remember } from "./past";
import { bytesOf, firstLook, nameInSql, nearest, offsetOf, placeOf, shortType, suggest, tablesIn, trouble, wordBefore } from "./sql";
import { storeTroubles } from "./store";

const table = (name: string, ...columns: [string, string][]): QueryTable => ({ name, columns: columns.map(([name, type]) => ({ name, type })), rows: 0, max_age_s: 604800, max_bytes: 1, bytes: 0, oldest: null, dropped_age: 0, dropped_quota: 0, dropped_disk_full: 0 });
const TABLES = [
  table("active_results", ["time", 'Timestamp(ms, "UTC")'], ["target", "Utf8"], ["success", "Boolean"], ["duration_ms", "Float64"], ["peer.site", "Utf8"], ["site", "Utf8"]),
  table("flows", ["flow.time_received", 'Timestamp(ns, "UTC")'], ["source.address", "FixedSizeBinary(16)"], ["flow.io.bytes", "UInt64"]),
];

describe("where an error is", () => {
  it("is counted as people count", () => {
    const text = "SELECT a,\n  b\nFROM t";
    for (const offset of [0, 7, 9, 10, 12, text.length]) expect(offsetOf(text, placeOf(text, offset))).toBe(offset);
    expect(placeOf(text, 12)).toEqual({ line: 2, column: 3 });
    expect([offsetOf(text, { line: 9, column: 1 }), offsetOf(text, { line: 1, column: 99 })]).toEqual([text.length, 9]);
  });
  it("is read out of what the parser says", () => {
    const sql = "SELECT site,\n count(*) FROM active_results GROUP site";
    const said = trouble('the question is not understood: SQL error: ParserError("Expected: end of statement, found: GROUP at Line: 2, Column: 31")', sql, TABLES);
    expect(said).toMatchObject({ text: "Expected: end of statement, found: GROUP", place: { line: 2, column: 31 } });
    expect(sql.slice(said.from ?? 0, said.to ?? 0)).toBe("GROUP");
    const open = trouble('the question is not understood: SQL error: TokenizerError("Unterminated string literal at Line: 1, Column: 8")', "SELECT 'abc", TABLES);
    expect([open.text, open.from, open.to]).toEqual(["Unterminated string literal", 7, 8]);
  });
  it("is where the name stands that is not there, with names that are", () => {
    const sql = "SELECT site,\n  durations_ms FROM active_results";
    const said = trouble("the question is not understood: Schema error: No field named durations_ms.\nValid fields are active_results.time, active_results.site.", sql, TABLES);
    expect(said).toMatchObject({ text: "No field named durations_ms.", place: { line: 2, column: 3 }, instead: ["duration_ms"] });
    expect(said.more).toContain("Valid fields");
    expect(trouble("the question is not understood: Schema error: No field named targte. Did you mean 'active_results.target'?", "SELECT targte FROM active_results", TABLES)).toMatchObject({ text: "No field named targte.", from: 7, to: 13, instead: ["target"] });
    const noTable = trouble("the question is not understood: Error during planning: table 'holm.public.flow' not found", "SELECT * FROM flow", TABLES);
    expect(noTable).toMatchObject({ text: "table 'flow' not found", place: { line: 1, column: 15 }, instead: ["flows"] });
    expect(trouble("the question is not understood: Error during planning: Invalid function 'cuont'.\nDid you mean 'count'?", "SELECT cuont(*) FROM flows", TABLES).instead).toEqual(["count"]);
  });
  it("is nowhere if the node does not say", () => {
    expect(trouble("it does not only read; a question is one SELECT over this tenant's tables", "DROP TABLE x", TABLES)).toEqual({ text: "it does not only read; a question is one SELECT over this tenant's tables", more: null, from: null, to: null, place: null, instead: [] });
  });
  it("finds a name by what is held in it or mistyped, and nothing for what is like none", () => {
    expect(nearest("bytes", ["flow.io.bytes", "site"])).toEqual(["flow.io.bytes"]);
    expect(nearest("adress", ["source.address", "flow.type"])).toEqual(["source.address"]);
    expect(nearest("quux", ["site", "time"])).toEqual([]);
  });
});

describe("completion", () => {
  const at = (sql: string, asked = false) => suggest(sql, sql.length, TABLES, asked).map((each) => each.writes);
  it("knows tables after FROM, else columns of the tables that are named", () => {
    expect(at("SELECT * FROM f")).toEqual(["flows"]);
    expect(at("SELECT * FROM ", true)).toEqual(["active_results", "flows"]);
    expect(suggest("SELECT du FROM active_results", 9, TABLES, false).map((each) => each.name)).toEqual(["duration_ms"]);
    expect(suggest("SELECT by FROM active_results", 9, TABLES, false)).toEqual([]);
    expect(at("SELECT source.a")).toEqual(["source.address"]);
  });
  it("writes functions with their parenthesis and quotes words of SQL", () => {
    expect(at("SELECT cou")).toEqual(["count("]);
    expect(suggest("SELECT ti FROM active_results", 9, TABLES, false)[0]).toMatchObject({ name: "time", writes: '"time"' });
  });
  it("is silent in quoted text, in comments and after one letter", () => {
    for (const sql of ["SELECT 'flo", 'SELECT "flo', "SELECT 1 -- flo", "SELECT /* flo", "SELECT f"]) expect(at(sql), sql).toEqual([]);
    expect(at("SELECT 'it''s' AS x, sourc")).toEqual(["source.address"]);
  });
  it("takes the whole dotted word", () => {
    expect(wordBefore("SELECT flow.io.b", 16)).toEqual({ from: 7, word: "flow.io.b" });
  });
});

describe("names and types", () => {
  it("are written as the engine reads them", () => {
    expect(["source.address", "time", "Count", "count(*)", 'a"b'].map(nameInSql)).toEqual(["source.address", '"time"', '"Count"', '"count(*)"', '"a""b"']);
    expect(['Timestamp(ns, "UTC")', "Dictionary(UInt8, Utf8)", "UInt64", "Float64", "Boolean", "FixedSizeBinary(16)"].map(shortType)).toEqual(["time", "text", "integer", "number", "yes/no", "address"]);
  });
  it("make a first look at a table by its own time", () => {
    expect(firstLook(TABLES[1] ?? table("x"))).toBe("SELECT *\nFROM flows\nWHERE flow.time_received > now() - INTERVAL '1 hour'\nORDER BY flow.time_received DESC\nLIMIT 100");
    expect(tablesIn("select 1 from FLOWS f join active_results a", TABLES).map((each) => each.name)).toEqual(["active_results", "flows"]);
    expect(bytesOf("ü")).toBe(2);
  });
});

const site = (name: string, state: string, took_ms: number, error: string | null = null): AskedSite => ({ missing: null, site: name, node: "n1", state, rows: 1, bytes: 648, took_ms, error });
const answer = (rows: unknown[][], sites: AskedSite[] = [], cut = false): QueryAnswer => ({
  columns: [{ name: "site", type: "Utf8" }, { name: "n", type: "UInt64" }, { name: "n", type: "Float64" }], rows: rows as QueryAnswer["rows"], cut, complete: true, sites, approximations: [], took_ms: 118,
});

describe("an answer", () => {
  it("names who is missing from it, and says what it is made of", () => {
    const sites = [site("berlin", "answered", 40), site("tokyo", "late", 5000), site("lab", "failed", 0, "no such site is known here"), site("oslo", "answered", 90)];
    expect(missingText(sites)).toBe("tokyo did not answer in time; lab failed: no such site is known here");
    expect(worstFirst(sites).map((each) => each.site)).toEqual(["lab", "tokyo", "oslo", "berlin"]);
    expect(summary(answer([["a", 1, 1]], sites))).toBe("1 row · 2 of 4 nodes answered · 118 ms");
    expect(summary(answer([["a", 1, 1]], sites, true))).toContain("first 1 row");
  });
  it("keeps whole numbers that a double cannot hold", () => {
    expect(parseExact('{"rows":[[9007199254740993,-18446744073709551615,7,1.3045559999999998,"9007199254740993","\\"12345678901234567890"]]}')).toEqual({ rows: [["9007199254740993", "-18446744073709551615", 7, 1.3045559999999998, "9007199254740993", '"12345678901234567890']] });
    expect(shown("9007199254740993", "UInt64", 0)).toBe("9\u202f007\u202f199\u202f254\u202f740\u202f993");
    expect(sortValue("9007199254740993", "UInt64")).toBe(9007199254740992);
  });
  it("shows numbers to be read and moments in the reader's zone, and nothing as nothing", () => {
    expect([shown(8443, "UInt16", 0), shown(1234567, "UInt64", 0), shown(1.3045559999999998, "Float64", 0), shown(null, "Utf8", 0), shown(false, "Boolean", 0), shown("12", "Utf8", 0)]).toEqual(["8443", "1\u202f234\u202f567", "1.30456", null, "false", "12"]);
    expect(stamp("2026-11-21T20:14:23.923Z", Date.parse("2026-11-21T20:15:00Z"))).toMatch(/^\d\d:14:23\.923$/);
    expect(stamp("2026-11-01T20:14:23.923Z", Date.parse("2026-11-21T20:15:00Z"))).toMatch(/Nov \d\d:14:23\.923$/);
    expect(stamp("not a time", 0)).toBe("not a time");
  });
  it("is exported by the names of its columns, none of them lost", () => {
    expect(uniqueNames(["n", "n", "m", "n"])).toEqual(["n", "n (2)", "m", "n (3)"]);
    expect(records(answer([["tokyo", 1, 2.5], [null, 2, null]]))).toEqual([{ site: "tokyo", n: 1, "n (2)": 2.5 }, { site: null, n: 2, "n (2)": null }]);
    expect(widths(answer([["x".repeat(500), 1, 1]]), answerRows(answer([["x".repeat(500), 1, 1]])), 0)).toEqual(["minmax(320px, 1fr)", "minmax(72px, 0.6fr)", "minmax(72px, 0.6fr)"]);
  });
  it("is asked for with what was chosen and no more", () => {
    expect(queryBody("SELECT 1", [], undefined)).toEqual({ sql: "SELECT 1" });
    expect(queryBody("SELECT 1", ["tokyo"], 5000)).toEqual({ sql: "SELECT 1", sites: ["tokyo"], timeout_ms: 5000 });
  });
});

describe("what was asked in this browser", () => {
  it("is kept once each, newest first, bounded", () => {
    let past = remember([], "SELECT 1", 1);
    past = remember(past, "SELECT 2", 2);
    past = remember(past, "SELECT 1 ", 3);
    expect(past).toEqual([{ sql: "SELECT 1 ", atMs: 3 }, { sql: "SELECT 2", atMs: 2 }]);
    for (let n = 0; n < 100; n++) past = remember(past, `SELECT ${n} -- ${"x".repeat(10_000)}`, n);
    expect(past.length).toBeLessThanOrEqual(20);
    expect(past[0]?.sql).toContain("SELECT 99");
  });
  it("is read with distrust", () => {
    expect(parse('[{"sql":"SELECT 1","atMs":1,"x":2},{"sql":3,"atMs":1},null,"x"]')).toEqual([{ sql: "SELECT 1", atMs: 1 }]);
    expect([parse(null), parse("{"), parse("{}")]).toEqual([[], [], []]);
    expect(oneLine("SELECT\n  1")).toBe("SELECT 1");
  });
});

describe("the store of this site", () => {
  const well: EventStore = { rows: 1, bytes: 1, files: 1, max_bytes: 9, problem: null, documents_problem: null, committed: 1, dropped_queue_full: 0, dropped_oldest: 5, refused: 0, write_failures: 0, damaged: 0, cold: null, clickhouse: null };
  const to: NonNullable<EventStore["clickhouse"]> = { target: "https://ch holm", sent_files: 1, sent_rows: 1, sent_bytes: 1, last_sent: null, failures: 0, given_up_rows: 0, lost_rows: 0, waiting_files: 0, waiting_rows: 0, oldest_waiting: null, error: null, refused: {} };
  it("is not spoken of while it is well: what went by age or bounds is no trouble", () => {
    expect(storeTroubles(well)).toEqual([]);
    expect(storeTroubles({ ...well, clickhouse: { ...to, waiting_rows: 9 } })).toEqual([]);
  });
  it("says what is not written, lost, or refused elsewhere", () => {
    const full = storeTroubles({ ...well, problem: "no space left; free disk space", dropped_queue_full: 7 });
    expect(full.map((each) => each.tone)).toEqual(["bad", "bad"]);
    expect(full[0]?.text).toContain("free disk space");
    const away = storeTroubles({ ...well, clickhouse: { ...to, error: "connection refused", waiting_rows: 1234, lost_rows: 3, refused: { flows: "it answered 404" } } });
    expect(away.map((each) => each.title)).toEqual(["ClickHouse gets no rows:", "ClickHouse refuses flows:", "Rows never came to ClickHouse:"]);
  });
});

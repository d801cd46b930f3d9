// An answer as rows of a table. No I/O.
import type { QueryAnswer } from "../../api/types";
import { count, millis, plural } from "../../parts/format";
import { shortType } from "./sql";

/** A value as the node sends it. A whole number that JavaScript cannot hold stays the text that was sent. */
export type Value = string | number | boolean | null | object;

export interface Row {
  id: number;
  values: readonly Value[];
}

/** `12 rows · 3 of 3 nodes answered · 118 ms`. */
export function summary(answer: QueryAnswer): string {
  const there = answer.sites.filter((site) => site.state === "answered" || site.state === "asked").length;
  const rows = answer.cut ? `first ${plural(answer.rows.length, "row")}` : plural(answer.rows.length, "row");
  return `${rows} · ${there} of ${plural(answer.sites.length, "node")} answered · ${millis(answer.took_ms)}`;
}

export function isNumber(type: string): boolean {
  const word = shortType(type);
  return word === "integer" || word === "number";
}

/** By what a value is sorted. */
export function sortValue(value: Value | undefined, type: string): string | number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") return value;
  if (typeof value === "string") return isNumber(type) ? Number(value) : value;
  return exactText(value);
}

/** The value as it was sent: for exports, tooltips, the clipboard. */
export function exactText(value: Value | undefined): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Whole numbers from here on are read in groups of three; ports and small ids stay as they are. */
const GROUPED_FROM = 100_000;

/** The value as people read it. */
export function shown(value: Value | undefined, type: string, nowMs: number): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return String(value);
    if (Number.isInteger(value)) return Math.abs(value) >= GROUPED_FROM && shortType(type) !== "time" ? count(value) : String(value);
    const size = Math.abs(value);
    return size >= GROUPED_FROM ? `${count(Math.trunc(value))}.${String(Math.round((size % 1) * 10)).slice(0, 1)}` : String(Number(value.toPrecision(6)));
  }
  if (typeof value === "string") {
    if (shortType(type) === "time") return stamp(value, nowMs);
    if (isNumber(type) && /^-?\d+$/.test(value)) return value.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
    return value;
  }
  return exactText(value);
}

/** `14:02:51.123` today, `19 Nov 14:02:51.123` else, in the reader's zone; what is not a moment stays as it is. */
export function stamp(iso: string, nowMs: number): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const two = (n: number) => String(n).padStart(2, "0");
  const millisPart = String(date.getMilliseconds()).padStart(3, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millisPart}`;
  if (date.toDateString() === new Date(nowMs).toDateString()) return clock;
  const year = date.getFullYear() === new Date(nowMs).getFullYear() ? {} : ({ year: "numeric" } as const);
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year })} ${clock}`;
}

const PX_A_SIGN = 7.4;
const [NARROWEST_PX, WIDEST_PX] = [72, 320];

/** A width for each column by its title and its first rows, in CSS tracks that share what is left over. */
export function widths(answer: QueryAnswer, rows: readonly Row[], nowMs: number): string[] {
  return answer.columns.map((column, n) => {
    let signs = column.name.length + 2;
    for (const row of rows.slice(0, 60)) signs = Math.max(signs, shown(row.values[n], column.type, nowMs)?.length ?? 1);
    const px = Math.round(Math.min(WIDEST_PX, Math.max(NARROWEST_PX, signs * PX_A_SIGN + 28)));
    return `minmax(${px}px, ${isNumber(column.type) ? 0.6 : 1}fr)`;
  });
}

/** Rows by the names of their columns; a second column of one name gets its number. */
export function records(answer: QueryAnswer): Record<string, Value>[] {
  const names = uniqueNames(answer.columns.map((column) => column.name));
  return answerRows(answer).map((row) => Object.fromEntries(names.map((name, n) => [name, row.values[n] ?? null])));
}

export function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const before = seen.get(name) ?? 0;
    seen.set(name, before + 1);
    return before === 0 ? name : `${name} (${before + 1})`;
  });
}

export function answerRows(answer: QueryAnswer): Row[] {
  return (answer.rows as unknown as Value[][]).map((values, id) => ({ id, values }));
}

// Questions about flows and how their answers read. No I/O.
import type { FlowQuery } from "../../api/client";
import type { FlowCapacity, FlowGroup, FlowInterface, FlowKeyPart, FlowSeries, FlowSums, QueryAnswer } from "../../api/types";
import type { Search } from "../../frame/search";
import { count, NOT_MEASURED } from "../../parts/format";
import type { StateLook } from "../../parts/states";
import { bytesText } from "../mesh/rates";

export type Metric = "bytes" | "packets" | "flows";

export const USUAL_WINDOW = "1h";
export const WINDOWS = ["15m", "1h", "6h", "1d", "7d"] as const;
/** What a diagram goes through where the reader chose less than two steps. */
const USUAL_STEPS = "src_as,dst_port,dst_as";

/** `6h` in milliseconds. */
export function windowMs(window: string): number {
  const unit = { m: 60_000, h: 3_600_000, d: 86_400_000 }[window.slice(-1)] ?? 60_000;
  return Number(window.slice(0, -1)) * unit;
}

/** What every question of the page has: its window, its filter, its sites. */
export function baseQuery(url: Search): FlowQuery {
  return { window: url.window ?? USUAL_WINDOW, to: url.at, filter: url.filter, site: url.site };
}

export function topQuery(url: Search): FlowQuery {
  const once = url.once === "1";
  return { ...baseQuery(url), by: url.dims ?? "src", metric: url.metric, limit: 50, previous: url.prev === "1" && !once ? "true" : undefined, dedup: once ? "true" : undefined };
}

/** Lengths of a bucket, as the node reads them. */
const BUCKETS: readonly [string, number][] = [["5s", 5_000], ["15s", 15_000], ["1m", 60_000], ["5m", 300_000], ["15m", 900_000], ["1h", 3_600_000], ["2h", 7_200_000], ["6h", 21_600_000], ["1d", 86_400_000], ["7d", 604_800_000]];
const MOST_BUCKETS = 100;

/** The same window as that of the groups, from its first whole bucket on: what a part of a bucket had says little of its rate. */
export function seriesQuery(url: Search, stands: { from: string; to: string } | undefined): FlowQuery {
  const common = { filter: url.filter, site: url.site, by: url.dims ?? "src", metric: url.metric, limit: 8 };
  if (!stands) return common;
  const [from, to] = [Date.parse(stands.from), Date.parse(stands.to)];
  const [bucket, ms] = BUCKETS.find(([, each]) => (to - from) / each <= MOST_BUCKETS) ?? ["7d", 604_800_000];
  return { ...common, from: new Date(Math.ceil(from / ms) * ms).toISOString(), to: stands.to, bucket };
}

/** The window that ends where the shown one begins, in buckets of the same length. */
export function previousQuery(url: Search, series: FlowSeries): FlowQuery {
  const { from, to } = series.stands_on;
  const length = Date.parse(to) - Date.parse(from);
  return { filter: url.filter, site: url.site, by: url.dims ?? "src", metric: url.metric, limit: 1, from: new Date(Date.parse(from) - Math.ceil(length / series.bucket_ms) * series.bucket_ms).toISOString(), to: from, bucket: `${series.bucket_ms / 1000}s` };
}

export function sankeyQuery(url: Search): FlowQuery {
  return { ...baseQuery(url), by: steps(url), metric: url.metric, limit: 40 };
}

/** The steps of the diagram: what is grouped by if that is two at least. */
export function steps(url: Search): string {
  return (url.dims ?? "").includes(",") || url.dims === "pair" ? (url.dims ?? "") : USUAL_STEPS;
}

/** A part of a key as text: by its name where it has one. */
export function partText(part: FlowKeyPart): string {
  const value: unknown = part.value;
  if (value === null || value === undefined) return "not told";
  const text = typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value);
  const plain = part.field.endsWith("_as") || part.field === "as" ? `AS${text}` : text;
  return part.name ? `${part.name} (${plain})` : plain;
}

export function keyText(key: readonly FlowKeyPart[]): string {
  return key.map(partText).join(" · ");
}

export function keyId(key: readonly FlowKeyPart[]): string {
  return JSON.stringify(key.map(({ field, value }) => [field, value]));
}

/** Conditions that hold for this key alone; null where an exporter did not tell a part, which no filter can ask for. */
export function conditions(key: readonly FlowKeyPart[]): string | null {
  const parts = key.map(({ field, value }) => {
    const given: unknown = value;
    if (typeof given === "number") return `${field} = ${given}`;
    if (typeof given !== "string" || (given.includes('"') && given.includes("'"))) return null;
    const quote = given.includes('"') ? "'" : '"';
    return `${field} = ${/^[\p{L}\p{N}._:/-]+$/u.test(given) ? given : quote + given + quote}`;
  });
  return parts.includes(null) ? null : parts.join(" and ");
}

/** The filter narrowed to a key; as it was where that is not possible or is so already. */
export function narrowed(filter: string | undefined, key: readonly FlowKeyPart[]): string | undefined {
  const more = conditions(key);
  if (more === null || filter?.includes(more)) return filter;
  return filter ? `${/\bor\b/i.test(filter) ? `(${filter})` : filter} and ${more}` : more;
}

/** Where a filter is wrong, of what the node says: `filter, character 7: …; remedy`. The node counts from 1; here from 0, to where the word ends. */
export function filterTrouble(message: string, filter: string): { text: string; from: number; to: number } | null {
  const found = /^filter, character (\d+): ([\s\S]*)$/.exec(message);
  if (!found) return null;
  const from = Math.max(0, Math.min(Number(found[1]) - 1, filter.length));
  return { text: found[2] ?? "", from, to: from + (/^[^\s()]+/.exec(filter.slice(from))?.[0].length ?? 0) };
}

/** A rate in decimal steps: `3.2 Mbit/s`. */
export function rateText(value: number, unit: string): string {
  for (const [size, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (value >= size) return `${value >= 100 * size ? Math.round(value / size) : (value / size).toFixed(1)} ${sign}${unit}`;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

export function amount(sums: FlowSums, metric: Metric): number {
  return sums[metric];
}

export function amountText(sums: FlowSums, metric: Metric): string {
  return metric === "bytes" ? bytesText(sums.bytes) : count(sums[metric]);
}

/** How much more or less than in the window before: `+12 %`, `−3 %`, `new`; a dash where it was not asked for. */
export function changeText(group: FlowGroup, metric: Metric): string {
  if (!group.previous) return NOT_MEASURED;
  const before = amount(group.previous, metric);
  const now = amount(group, metric);
  if (before === 0) return now === 0 ? "0 %" : "new";
  const percent = ((now - before) / before) * 100;
  if (Math.abs(percent) > 999) return `× ${(now / before).toFixed(now / before >= 10 ? 0 : 1)}`;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent) < 10 ? Math.abs(percent).toFixed(1) : Math.abs(percent).toFixed(0)} %`;
}

export function change(group: FlowGroup, metric: Metric): number | null {
  if (!group.previous) return null;
  const before = amount(group.previous, metric);
  return before === 0 ? null : (amount(group, metric) - before) / before;
}

/** An interface as its exporter names it, else by its index. */
export function interfaceName(row: FlowInterface): string {
  return row.name ?? `interface ${row.interface}`;
}

/** One interface over time, as the picture of flows takes it. */
export function interfaceSeries(answer: FlowCapacity, row: FlowInterface): FlowSeries {
  return {
    stands_on: answer.stands_on, by: ["interface"], metric: "bytes", unit: "bit/s", bucket_ms: answer.bucket_ms, buckets: answer.buckets,
    series: [{ key: [{ field: "interface", value: interfaceName(row), name: null }] as unknown as FlowKeyPart[], values: row.bps }],
    other: answer.buckets.map(() => 0),
  };
}

/** A small line over values from zero up to the largest, as a path. */
export function sparkline(values: readonly number[], width: number, height: number): string {
  const most = Math.max(...values, 0);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const y = (value: number) => (most === 0 ? height - 1 : height - 1 - (value / most) * (height - 2));
  return values.map((value, n) => `${n === 0 ? "M" : "L"}${(n * step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

export const EXPORTER_LOOKS: Record<string, StateLook> = {
  ok: { tone: "ok", mark: "disk", word: "ok", means: "heard within two minutes, and nothing of it was lost" },
  silent: { tone: "bad", mark: "ring", word: "silent", means: "heard in the window, and not in its last two minutes" },
  losing: { tone: "bad", mark: "square", word: "losing", means: "datagrams or records were lost on the way" },
  waiting: { tone: "warn", mark: "clock", word: "waiting", means: "data came whose template did not" },
  refused: { tone: "warn", mark: "triangle", word: "refused", means: "bounds were met" },
  clock_ahead: { tone: "warn", mark: "triangle", word: "clock ahead", means: "records end in the future: its clock is not set" },
  broken: { tone: "bad", mark: "square", word: "broken", means: "what it sends is not built as it should be" },
};

export function exporterLook(state: string): StateLook {
  return EXPORTER_LOOKS[state] ?? { tone: "unknown", mark: "dash", word: state, means: "this console does not know this state" };
}

/** Columns that a reader looks for first. */
const FIRST_COLUMNS = ["flow.time_received", "site", "source.address", "source.port", "destination.address", "destination.port", "network.transport", "flow.io.bytes_scaled", "flow.io.packets_scaled", "flow.in.interface.name", "flow.out.interface.name", "flow.exporter.name", "flow.exporter.address"];

/** Flow records as an answer of rows: columns that none of them has are not there. */
export function recordsAsAnswer(items: readonly Record<string, unknown>[], cut: boolean): QueryAnswer {
  const names = new Set(items.flatMap((item) => Object.keys(item)));
  const ordered = [...FIRST_COLUMNS.filter((name) => names.has(name)), ...[...names].filter((name) => !FIRST_COLUMNS.includes(name)).sort()];
  const typeOf = (name: string) => (/(?:^|\.)(?:time_received|start|end)$/.test(name) ? "Timestamp(ns)" : items.every((item) => item[name] === undefined || typeof item[name] === "number") ? "UInt64" : "Utf8");
  return {
    columns: ordered.map((name) => ({ name, type: typeOf(name) })),
    rows: items.map((item) => ordered.map((name) => item[name] ?? null)) as unknown as QueryAnswer["rows"],
    cut, complete: true, sites: [], approximations: [], took_ms: 0,
  };
}

// How times, ages and numbers read. Times are shown in the reader's zone; their full UTC text is in the tooltip.
import type { TopologyNode } from "../api/types";

/** A dash: not measured, which is not zero. */
export const NOT_MEASURED = "–";

/** `14:02:51`, in the reader's zone. */
export function clock(iso: string | null | undefined): string {
  const date = parse(iso);
  return date ? `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` : NOT_MEASURED;
}

/** `14:02:51` on the day of `nowMs`, else `Nov 19, 14:02:51`. */
export function moment(iso: string | null | undefined, nowMs: number): string {
  const date = parse(iso);
  if (!date) return NOT_MEASURED;
  if (date.toDateString() === new Date(nowMs).toDateString()) return clock(iso);
  const sameYear = date.getFullYear() === new Date(nowMs).getFullYear();
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) });
  return `${day}, ${clock(iso)}`;
}

/** A length of time in its largest unit: `4 s`, `3 min`, `2 h`, `6.4 d`; never less than `0 s`. */
export function span(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 90) return `${Math.floor(s)} s`;
  if (s < 90 * 60) return `${Math.floor(s / 60)} min`;
  if (s < 36 * 3600) return `${trim(s / 3600)} h`;
  return `${trim(s / 86400)} d`;
}

/** How long ago: `4 s ago`. */
export function ago(iso: string | null | undefined, nowMs: number): string {
  const date = parse(iso);
  return date ? `${span(nowMs - date.getTime())} ago` : NOT_MEASURED;
}

/** How far ahead or behind: `in 6.4 d`, `3 h ago`. */
export function ahead(iso: string | null | undefined, nowMs: number): string {
  const date = parse(iso);
  if (!date) return NOT_MEASURED;
  const left = date.getTime() - nowMs;
  return left >= 0 ? `in ${span(left)}` : `${span(-left)} ago`;
}

/** Milliseconds with a unit: `0.42 ms`, `12.3 ms`, `1.84 s`. */
export function millis(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOT_MEASURED;
  const size = Math.abs(ms);
  if (size >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${size >= 100 ? ms.toFixed(0) : size >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

/** Milliseconds that were measured in whole ones: `3 ms`, `-2 ms`, `1.84 s`. */
export function wholeMillis(ms: number): string {
  return Math.abs(ms) >= 1000 ? millis(ms) : `${Math.round(ms)} ms`;
}

/** Whole numbers with thin spaces between thousands. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** At most four characters: `812`, `1.2k`, `16k`, `1.3M`. */
export function compact(value: number): string {
  for (const [unit, sign] of [[1e6, "M"], [1e3, "k"]] as const) {
    if (value >= unit) return `${trim(value / unit)}${sign}`;
  }
  return String(Math.round(value));
}

/** The first characters of a digest. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}

/** `a, b and c`. */
export function listOf(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1] ?? ""}`;
}

/** `1 site`, `2 sites`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function parse(iso: string | null | undefined): Date | null {
  if (!iso) return null;
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? null : date;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

function trim(n: number): string {
  return n >= 10 ? String(Math.floor(n)) : String(Math.floor(n * 10) / 10);
}

/** The value of an attribute as people read it: lists with commas between. */
export function attributeText(value: TopologyNode["attributes"][string] | null): string | null {
  if (value === null) return null;
  return Array.isArray(value) ? value.join(", ") : String(value);
}

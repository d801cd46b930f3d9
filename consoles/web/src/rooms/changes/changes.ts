// What changes look like and in which words; no React here.
import type { ChangeSource, RankedChange, RecordedChange } from "../../api/types";
import { plural } from "../../parts/format";

/** Every kind, in the order of the list's buttons, and what it is. */
export const KINDS: readonly { kind: RecordedChange["kind"]; means: string }[] = [
  { kind: "deploy", means: "software was brought to where it runs" },
  { kind: "config", means: "a setting is another one" },
  { kind: "route", means: "packets take another way" },
  { kind: "iac", means: "infrastructure as code" },
  { kind: "commit", means: "something was written to a repository" },
  { kind: "release", means: "a version was published" },
  { kind: "other", means: "anything else" },
];

export const WINDOWS = ["1h", "6h", "24h", "7d", "30d"] as const;
const DAY_MS = 86_400_000;
const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: DAY_MS };

/** A window such as `24h` in ms; a day if it is none. */
export function windowMs(window: string | undefined): number {
  const unit = UNITS_MS[window?.at(-1) ?? ""];
  const count = Number(window?.slice(0, -1));
  return unit && Number.isInteger(count) && count > 0 ? unit * count : DAY_MS;
}

/** What was changed: as the topology calls it, else in the words of the source, which are no elements. */
export function changed({ targets, words, prefix }: Pick<RecordedChange, "targets" | "words" | "prefix">): { elements: string[]; words: string[] } {
  const elements = prefix ? [...targets, prefix] : [...targets];
  return { elements, words: elements.length > 0 ? [] : [...words] };
}

/** Who told of it, for people. */
export function toldBy({ source, source_name }: Pick<RecordedChange, "source" | "source_name">): string {
  if (source.startsWith("plane:")) return `seen by the ${source.slice("plane:".length)} plane`;
  return source_name ?? source;
}

/** How many deliveries of a source were refused here. */
export function refused({ here }: Pick<ChangeSource, "here">): number {
  return here.refused_signature + here.refused_stale + here.refused_size + here.refused_body + here.refused_write;
}

/** How many there are, and how many of these are shown. */
export function showing(shown: number, total: number): string {
  return shown < total ? `showing ${shown} of ${total}` : plural(total, "change");
}

/** The parts of a score that count for something, the greatest first; and why it is not near, if it is not. */
export function telling({ parts }: Pick<RankedChange, "parts">): RankedChange["parts"] {
  return parts.filter((part) => part.points > 0 || part.name === "distance").sort((a, b) => b.points - a.points);
}

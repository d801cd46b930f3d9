// What alerts look like and in which words; no React here.
import type { Alert, AlertPoint, AlertPreview, AlertProblem, AlertRule, Silence } from "../../api/types";
import { plural } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export const ALERT_STATES = ["firing", "pending", "silenced", "inhibited"] as const;

export const ALERT_LOOKS: Record<Alert["state"], StateLook> = {
  firing: { tone: "bad", mark: "triangle", word: "firing", means: "it holds for long enough: an incident says so" },
  pending: { tone: "warn", mark: "clock", word: "pending", means: "it holds, and not for long enough yet" },
  silenced: { tone: "unknown", mark: "slash", word: "silenced", means: "it fires, and a silence is on: nobody is told" },
  inhibited: { tone: "unknown", mark: "ring", word: "inhibited", means: "it fires, and another rule that fires makes it quiet" },
};

export const RULE_LOOKS: Record<AlertRule["state"], StateLook> = {
  broken: { tone: "warn", mark: "slash", word: "not judged", means: "it cannot be judged at some node" },
  firing: { tone: "bad", mark: "triangle", word: "firing", means: "a group of it fires" },
  pending: { tone: "warn", mark: "clock", word: "pending", means: "a group of it holds, and not for long enough yet" },
  no_data: { tone: "unknown", mark: "dash", word: "no value", means: "there are no rows for it" },
  warming: { tone: "unknown", mark: "clock", word: "warming", means: "what is usual is not known yet" },
  inactive: { tone: "ok", mark: "disk", word: "well", means: "it does not hold" },
};
export const RULE_ORDER: readonly AlertRule["state"][] = ["broken", "firing", "pending", "no_data", "warming", "inactive"];

export const SILENCE_LOOKS: Record<Silence["state"], StateLook> = {
  on: { tone: "warn", mark: "slash", word: "on", means: "it counts now" },
  coming: { tone: "unknown", mark: "clock", word: "coming", means: "it will count" },
  over: { tone: "unknown", mark: "dash", word: "over", means: "it is shown for a week" },
};

/** A group for people: its values, or that it is all rows. */
export function groupText(group: Readonly<Record<string, string>>): string {
  const values = Object.entries(group).map(([column, value]) => `${column} ${value === "" ? "–" : value}`);
  return values.length > 0 ? values.join(", ") : "all rows";
}

/** A number with as many digits as say something. */
export function rounded(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) return value.toExponential(2);
  return String(Number(value.toFixed(3)));
}

const PLAIN = /^([A-Za-z_][A-Za-z0-9_.\-/]*|\d+[smhd])$/;
const WORDS = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);

function scalar(value: unknown): string {
  if (typeof value === "string") return PLAIN.test(value) && !WORDS.has(value.toLowerCase()) ? value : JSON.stringify(value);
  return JSON.stringify(value);
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{ ${Object.entries(value).map(([key, inner]) => `${scalar(key)}: ${flow(inner)}`).join(", ")} }`;
  return scalar(value);
}

const FIRST = ["kind", "name", "title", "description", "severity", "labels", "table", "where", "by", "value", "window", "every", "composite", "condition", "for", "keep", "target", "inhibited_by"];

/** An object of a file as YAML, its fields in the order in which people write them. */
export function yaml(object: Readonly<Record<string, unknown>>, first: readonly string[] = FIRST): string {
  const place = (key: string) => { const at = first.indexOf(key); return at < 0 ? first.length : at; };
  const lines = Object.entries(object).sort(([a], [b]) => place(a) - place(b)).map(([key, value]) => `${scalar(key)}: ${flow(value)}`);
  return `${lines.join("\n")}\n`;
}

/** What a new rule begins with. */
export const NEW_RULE = `kind: AlertRule
name: probes-fail
severity: warning
table: active_results
by: [target, probe]
value: { share: NOT success }
window: 5m
condition: { above: 0.2 }
for: 2m
`;

/** A line of the text in parts: what is wrong begins at the mark. */
export interface Line {
  before: string;
  wrong: string;
  problems: readonly AlertProblem[];
}

/** The lines of a text, with what is wrong in each. Columns count characters from 1. */
export function lines(text: string, problems: readonly AlertProblem[]): Line[] {
  return text.split("\n").map((line, index) => {
    const of = problems.filter((problem) => problem.line === index + 1);
    if (of.length === 0) return { before: line, wrong: "", problems: of };
    const from = Math.min(...of.map((problem) => problem.column)) - 1;
    const characters = Array.from(line);
    // What is missing is missed at the line's end.
    const at = Math.min(from, Math.max(0, characters.length - 1));
    return { before: characters.slice(0, at).join(""), wrong: characters.slice(at).join("") || " ", problems: of };
  });
}

/** Where in the text a line and column are, as the cursor counts. */
export function offsetOf(text: string, line: number, column: number): number {
  const all = text.split("\n");
  const before = all.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  const inside = Array.from(all[line - 1] ?? "").slice(0, column - 1).join("").length;
  return Math.min(text.length, before + inside);
}

/** What a node says in one text, as the problems that it lists: `line 3, column 8: …; line 4, …`. */
export function problemsIn(message: string): AlertProblem[] {
  const found = [...message.matchAll(/line (\d+), column (\d+): (.*?)(?=; line \d+, column \d+: |$)/gs)];
  return found.map(([, line, column, text]) => ({ line: Number(line), column: Number(column), path: "", text: text ?? "" }));
}

export interface Picture {
  /** Pieces of the line: it is interrupted where there is no value. */
  pieces: readonly string[];
  /** What is usual, as an area. */
  band: string;
  above: number | null;
  below: number | null;
  firings: readonly { from: number; to: number; held: number }[];
  low: number;
  high: number;
}

/** A group's values as a picture of `wide` by `tall`. */
export function picture(preview: Pick<AlertPreview, "from" | "to" | "above" | "below">, group: AlertPreview["groups"][number], wide: number, tall: number): Picture {
  const [fromMs, toMs] = [Date.parse(preview.from), Date.parse(preview.to)];
  const limits = [preview.above, preview.below].filter((limit) => limit !== null);
  const all = group.points.flatMap((point) => [point.value, point.least, point.most]).filter((value) => value !== null);
  const values = [...all, ...limits];
  const least = Math.min(0, ...values);
  const most = Math.max(least, ...values);
  // Room above, so that a line at the top can be seen.
  const [low, high] = [least, most === least ? least + 1 : most + (most - least) * 0.05];
  const x = (ms: number) => Math.max(0, Math.min(wide, ((ms - fromMs) / Math.max(1, toMs - fromMs)) * wide));
  const y = (value: number) => (1 - (value - low) / (high - low)) * tall;
  const at = (point: AlertPoint, value: number) => `${x(Date.parse(point.at)).toFixed(1)},${y(value).toFixed(1)}`;
  const pieces: string[][] = [[]];
  for (const point of group.points) {
    if (point.value === null) pieces.push([]);
    else pieces.at(-1)?.push(at(point, point.value));
  }
  const banded = group.points.filter((point) => typeof point.least === "number" && typeof point.most === "number");
  const band = [...banded.map((point) => at(point, point.most ?? 0)), ...banded.reverse().map((point) => at(point, point.least ?? 0))];
  return {
    pieces: pieces.filter((piece) => piece.length > 0).map((piece) => (piece.length === 1 ? `${piece[0] ?? ""} ${piece[0] ?? ""}` : piece.join(" "))),
    band: band.join(" "),
    above: typeof preview.above === "number" ? y(preview.above) : null,
    below: typeof preview.below === "number" ? y(preview.below) : null,
    firings: group.firings.map((firing) => ({ held: x(Date.parse(firing.since)), from: x(Date.parse(firing.at)), to: firing.end ? x(Date.parse(firing.end)) : wide })),
    low,
    high,
  };
}

/** What a preview came to, in a sentence. */
export function previewText(preview: Pick<AlertPreview, "firings" | "groups" | "groups_total" | "rows">): string {
  if (preview.groups_total === 0) return preview.rows === 0 ? "there were no rows for it" : `nothing to judge in ${plural(preview.rows, "row")}`;
  const shown = preview.groups.length < preview.groups_total ? `, ${preview.groups.length} of ${plural(preview.groups_total, "group")} shown` : "";
  return `would have fired ${preview.firings === 0 ? "never" : plural(preview.firings, "time")}${shown}`;
}

/** `name=pattern` by line or space, as what a silence matches; a text says what is wrong. */
export function matchersOf(text: string): Record<string, string> | string {
  const matchers: Record<string, string> = {};
  for (const part of text.split(/\s+/).filter(Boolean)) {
    const at = part.indexOf("=");
    if (at < 1) return `${part}: write name=pattern, such as rule=probes-*`;
    matchers[part.slice(0, at)] = part.slice(at + 1);
  }
  return Object.keys(matchers).length > 0 ? matchers : "write at least one name=pattern, such as rule=probes-*";
}

/** How long silences are made for, in hours. */
export const SILENCE_HOURS = [1, 4, 8, 24, 72, 168] as const;
/** How far back previews look, in hours. */
export const PREVIEW_HOURS = [1, 6, 24, 72, 168] as const;

export function hoursText(hours: number): string {
  return hours % 24 === 0 ? plural(hours / 24, "day") : plural(hours, "hour");
}

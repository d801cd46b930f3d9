// The URL carries scope, time, filters and selection: this is its shape.

export interface Search {
  /** The scope: names of sites, comma-separated; every site without it. */
  site?: string;
  /** The moment, RFC 3339; live without it. */
  at?: string;
  /** The selected element's id. */
  el?: string;
  /** The element that is taken to fail: what breaks is shown. */
  fail?: string;
  /** Another failure, set beside the first. */
  fail2?: string;
  /** The earlier moment that the shown one is compared with. */
  diff?: string;
  /** What lies open beside the picture. */
  side?: "ranking";
  /** What the picture is grouped by; without it by what tells most, and only where there is too much to see. */
  by?: GroupBy;
  /** The group that is open. */
  open?: string;
  /** The site that is selected in the picture of the mesh. */
  focus?: string;
  /** Kinds that are not shown, comma-separated. */
  hide?: string;
  /** Table instead of picture. */
  view?: "table";
  /** Which incidents; those that are not resolved without it. */
  incidents?: "open" | "acknowledged" | "mitigated" | "resolved" | "all";
  /** The incident that is open. */
  inc?: string;
  /** The SLO that is open. */
  slo?: string;
  /** The endpoint that is open. */
  endpoint?: string;
  /** The alert rule that is open; `+` for a new one. */
  rule?: string;
  /** The test that is open; `+` for a new one. */
  test?: string;
  /** Filter text of a table. */
  q?: string;
  /** The question in SQL that is asked. */
  sql?: string;
  /** The longest time of an answer, in ms; the node's own without it. */
  wait?: string;
  /** Which page of the flows. */
  tab?: "exporters" | "interfaces" | "unusual";
  /** What left interfaces, and not what came in. */
  way?: "out";
  /** What flows are grouped by, comma-separated. */
  dims?: string;
  /** What groups are ordered by; bytes without it. */
  metric?: "packets" | "flows";
  /** How far back from the moment: `15m`, `7d`; an hour without it. */
  window?: string;
  /** Which flows. */
  filter?: string;
  /** How they are shown; over time without it. */
  chart?: "sankey" | "records";
  /** With the window before. */
  prev?: "1";
  /** A flow that several exporters saw counts once. */
  once?: "1";
}

export const GROUP_BY = ["site", "as", "prefix", "none"] as const;
export type GroupBy = (typeof GROUP_BY)[number];

const INCIDENTS = ["open", "acknowledged", "mitigated", "resolved", "all"] as const;

const SITE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const LONGEST = 700;
/** A question is at most this long for the node too. */
const LONGEST_SQL = 16 * 1024;
const LONGEST_FILTER = 4_000;
const [SHORTEST_WAIT_MS, LONGEST_WAIT_MS] = [100, 50_000];

/** Reads the URL's part after `?`; what is not valid is left out. */
export function parseSearch(raw: Record<string, unknown>): Search {
  const search: Search = {};
  const site = names(raw["site"], (name) => SITE.test(name));
  if (site) search.site = site;
  const at = moment(raw["at"]);
  if (at) search.at = at;
  const diff = moment(raw["diff"]);
  // Only an earlier moment can be compared with.
  if (diff && (!at || diff < at)) search.diff = diff;
  const el = text(raw["el"]);
  if (el) search.el = el;
  const fail = text(raw["fail"]);
  if (fail) search.fail = fail;
  const fail2 = text(raw["fail2"]);
  if (fail && fail2) search.fail2 = fail2;
  if (raw["side"] === "ranking") search.side = "ranking";
  const by = GROUP_BY.find((each) => each === raw["by"]);
  if (by) search.by = by;
  const open = text(raw["open"]);
  if (open) search.open = open;
  const focus = text(raw["focus"]);
  if (focus && SITE.test(focus)) search.focus = focus;
  const hide = names(raw["hide"], (name) => /^[a-z]{1,20}$/.test(name));
  if (hide) search.hide = hide;
  if (raw["view"] === "table") search.view = "table";
  const incidents = INCIDENTS.find((each) => each === raw["incidents"]);
  if (incidents) search.incidents = incidents;
  const inc = text(raw["inc"]);
  if (inc && /^i-[0-9a-z]{13}$/.test(inc)) search.inc = inc;
  const slo = text(raw["slo"]);
  if (slo && /^[a-z0-9-]{1,63}$/.test(slo)) search.slo = slo;
  const endpoint = text(raw["endpoint"]);
  if (endpoint && /^[a-z0-9][a-z0-9-]{0,62}$/.test(endpoint)) search.endpoint = endpoint;
  const rule = text(raw["rule"]);
  if (rule && /^([a-z0-9-]{1,63}|\+)$/.test(rule)) search.rule = rule;
  const test = text(raw["test"]);
  if (test && /^([a-z0-9-]{1,63}|\+)$/.test(test)) search.test = test;
  const q = text(raw["q"]);
  if (q) search.q = q;
  const sql = text(raw["sql"], LONGEST_SQL);
  if (sql) search.sql = sql;
  const wait = Number(text(raw["wait"]));
  if (Number.isInteger(wait) && wait >= SHORTEST_WAIT_MS && wait <= LONGEST_WAIT_MS) search.wait = String(wait);
  if (raw["tab"] === "exporters" || raw["tab"] === "interfaces" || raw["tab"] === "unusual") search.tab = raw["tab"];
  if (raw["way"] === "out") search.way = "out";
  // In the order that was chosen: it is that of the columns and of the diagram.
  const dims = [...new Set((text(raw["dims"]) ?? "").split(",").filter((name) => /^[a-z][a-z_]{0,30}$/.test(name)))].slice(0, 5).join(",");
  if (dims) search.dims = dims;
  if (raw["metric"] === "packets" || raw["metric"] === "flows") search.metric = raw["metric"];
  const window = text(raw["window"]);
  if (window && /^[1-9]\d{0,3}[mhd]$/.test(window)) search.window = window;
  const filter = text(raw["filter"], LONGEST_FILTER);
  if (filter) search.filter = filter;
  if (raw["chart"] === "sankey" || raw["chart"] === "records") search.chart = raw["chart"];
  if (text(raw["prev"]) === "1") search.prev = "1";
  if (text(raw["once"]) === "1") search.once = "1";
  return search;
}

/** What Escape closes: the last of what lies open, one at a time. */
export function closeLast(search: Search): Partial<Record<keyof Search, undefined>> {
  if (search.el !== undefined) return search.el === search.fail && search.fail2 === undefined ? { el: undefined, fail: undefined } : { el: undefined };
  if (search.fail2 !== undefined) return { fail2: undefined };
  if (search.fail !== undefined) return { fail: undefined };
  if (search.open !== undefined) return { open: undefined };
  if (search.inc !== undefined) return { inc: undefined };
  if (search.slo !== undefined) return { slo: undefined };
  if (search.endpoint !== undefined) return { endpoint: undefined };
  if (search.rule !== undefined) return { rule: undefined };
  if (search.focus !== undefined) return { focus: undefined };
  if (search.side !== undefined) return { side: undefined };
  if (search.diff !== undefined) return { diff: undefined };
  return {};
}

/** A comma-separated list as its parts. */
export function split(list: string | undefined): string[] {
  return list ? list.split(",") : [];
}

/** The list with `name` taken out or put in; undefined when it is empty. */
export function toggle(list: string | undefined, name: string): string | undefined {
  const parts = split(list);
  const next = parts.includes(name) ? parts.filter((part) => part !== name) : [...parts, name].sort();
  return next.length > 0 ? next.join(",") : undefined;
}

/** The one site that the node is asked for; with several the whole picture is fetched and filtered here. */
export function oneSite(site: string | undefined): string | undefined {
  const parts = split(site);
  return parts.length === 1 ? parts[0] : undefined;
}

function names(value: unknown, valid: (name: string) => boolean): string | undefined {
  const parts = [...new Set((text(value) ?? "").split(",").filter(valid))].sort();
  return parts.length > 0 ? parts.join(",") : undefined;
}

function moment(value: unknown): string | undefined {
  const given = text(value);
  return given && !Number.isNaN(Date.parse(given)) ? new Date(given).toISOString() : undefined;
}

function text(value: unknown, longest = LONGEST): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value.length > 0 && value.length <= longest ? value : undefined;
}

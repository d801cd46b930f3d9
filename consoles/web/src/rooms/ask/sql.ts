// The text of a question: where an error is in it, what could be typed next, how a name is written. No I/O.
import type { QueryTable } from "../../api/types";

/** Longest question that the node reads, in bytes of UTF-8. */
export const LONGEST_SQL_BYTES = 16 * 1024;

/** A place in a text: line and column as people count, from 1. */
export interface Place {
  line: number;
  column: number;
}

/** What an error says, without the words of the parser around it. */
export interface Trouble {
  text: string;
  /** What else could have stood there; folded away, it is often long. */
  more: string | null;
  /** Where, if the error says or names something that stands in the question. */
  from: number | null;
  to: number | null;
  place: Place | null;
  /** Names that are there and look like the one that is not. */
  instead: string[];
}

/** The offset of a place in `text`; the end of the text for one past it. */
export function offsetOf(text: string, place: Place): number {
  let offset = 0;
  for (let line = 1; line < place.line; line++) {
    const end = text.indexOf("\n", offset);
    if (end < 0) return text.length;
    offset = end + 1;
  }
  const end = text.indexOf("\n", offset);
  return Math.min(offset + Math.max(0, place.column - 1), end < 0 ? text.length : end);
}

export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { line, column: offset - (before.lastIndexOf("\n") + 1) + 1 };
}

const WORD = /[\p{L}\p{N}_.]/u;

/** The word that ends at `offset`, as it is typed. */
export function wordBefore(text: string, offset: number): { from: number; word: string } {
  let from = offset;
  while (from > 0 && WORD.test(text.charAt(from - 1))) from -= 1;
  return { from, word: text.slice(from, offset) };
}

/** Reads the node's message about a question: what is wrong, where, what to write in its place. */
export function trouble(message: string, sql: string, tables: readonly QueryTable[]): Trouble {
  const inner = message.replace(/^the question is not understood: /, "");
  const parser = /(?:ParserError|TokenizerError)\("((?:[^"\\]|\\.)*)"\)/.exec(inner);
  const said = parser?.[1] ? parser[1].replaceAll('\\"', '"').replaceAll("\\'", "'") : inner.replace(/^(?:SQL error|Schema error|Error during planning|This feature is not implemented): /, "");
  const [first = said, ...rest] = said.split("\n");
  const at = /(?: at)? Line: (\d+), Column: (\d+)/.exec(first) ?? /Location\((\d+),\s*(\d+)\)/.exec(said);
  const text = first.replace(/(?: at)? Line: \d+, Column: \d+.*$/, "").replaceAll("holm.public.", "");
  const answer: Trouble = { text, more: rest.join("\n").trim() || null, from: null, to: null, place: null, instead: [] };
  if (at) {
    const from = offsetOf(sql, { line: Number(at[1]), column: Number(at[2]) });
    return marked(answer, sql, from, from + Math.max(1, /^[\p{L}\p{N}_.]+/u.exec(sql.slice(from))?.[0].length ?? 1));
  }
  const missing = /No field named (\S+?)\.?(?= Did you mean|$)/.exec(text)?.[1] ?? /table '(?:\w+\.)*?([\w.]+)' not found/.exec(text)?.[1] ?? /Invalid function '([^']+)'/.exec(text)?.[1];
  if (!missing) return answer;
  const name = missing.replaceAll('"', "");
  const from = findWord(sql, name);
  const known = /^table /.test(text) ? tables.map((table) => table.name) : /^Invalid function/.test(text) ? FUNCTIONS.map((each) => each.name) : columnsFor(sql, tables).map((column) => column.name);
  const plain = name.slice(name.lastIndexOf(".") + 1);
  answer.instead = nearest(plain, known);
  // The page says what could be meant, in names that can be taken.
  if (answer.instead.length > 0) answer.text = text.replace(/ Did you mean .*$/, "");
  return from < 0 ? answer : marked(answer, sql, from, from + name.length);
}

function marked(answer: Trouble, sql: string, from: number, to: number): Trouble {
  return { ...answer, from, to: Math.min(to, sql.length), place: placeOf(sql, from) };
}

function findWord(text: string, name: string): number {
  const lower = text.toLowerCase();
  for (let from = lower.indexOf(name.toLowerCase()); from >= 0; from = lower.indexOf(name.toLowerCase(), from + 1)) {
    const [before, after] = [text.charAt(from - 1), text.charAt(from + name.length)];
    if (!WORD.test(before) && !WORD.test(after)) return from;
  }
  return -1;
}

/** At most three of `names` that look like `name`, the likest first. */
export function nearest(name: string, names: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(names)]
    .map((each) => {
      const lower = each.toLowerCase();
      const tail = lower.slice(lower.lastIndexOf(".") + 1);
      const held = wanted.length > 2 && (lower.includes(wanted) || (tail.length > 2 && wanted.includes(tail)));
      return { each, far: held ? 0.5 : Math.min(distance(wanted, lower), distance(wanted, tail)) };
    })
    .filter(({ far }) => far <= Math.ceil(wanted.length / 3))
    .sort((a, b) => a.far - b.far || a.each.length - b.each.length)
    .slice(0, 3)
    .map(({ each }) => each);
}

/** Letters to put in, take out or change (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The tables that a question names after FROM and JOIN. */
export function tablesIn(sql: string, tables: readonly QueryTable[]): QueryTable[] {
  const named = new Set([...sql.matchAll(/\b(?:from|join)\s+([\w.]+)/gi)].map((each) => each[1]?.toLowerCase()));
  return tables.filter((table) => named.has(table.name.toLowerCase()));
}

function columnsFor(sql: string, tables: readonly QueryTable[]): { name: string; type: string }[] {
  const named = tablesIn(sql, tables);
  const seen = new Map<string, { name: string; type: string }>();
  for (const table of named.length > 0 ? named : tables) for (const column of table.columns) if (!seen.has(column.name)) seen.set(column.name, column);
  return [...seen.values()];
}

export interface Suggestion {
  name: string;
  /** What is written; a function's parenthesis included. */
  writes: string;
  note: string;
}

const FUNCTIONS: readonly { name: string; note: string }[] = [
  ...["count", "sum", "min", "max", "avg"].map((name) => ({ name, note: "exact, added up at each site" })),
  { name: "approx_distinct", note: "≈ how many different" },
  { name: "approx_percentile_cont", note: "≈ quantile: (x, 0.95)" },
  { name: "date_bin", note: "(INTERVAL '5 minutes', time)" },
  { name: "date_trunc", note: "('hour', time)" },
  { name: "now", note: "this moment" },
  { name: "ip", note: "('192.0.2.1') to compare with" },
  { name: "in_prefix", note: "(address, '10.0.0.0/8')" },
  { name: "ip_text", note: "(address) as text" },
  ...["coalesce", "round", "abs", "lower", "upper", "starts_with", "substr", "regexp_like", "stddev", "median"].map((name) => ({ name, note: "function" })),
];
const KEYWORDS = ["SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "JOIN", "DISTINCT", "INTERVAL", "BETWEEN", "DESC", "CASE WHEN", "FILTER (WHERE"] as const;
const MOST_SUGGESTED = 8;

/** What could be meant by the word before the caret: tables after FROM and JOIN, else columns, functions and words of SQL. */
export function suggest(sql: string, offset: number, tables: readonly QueryTable[], asked: boolean): Suggestion[] {
  const { from, word } = wordBefore(sql, offset);
  const before = sql.slice(0, from);
  if (inside(before)) return [];
  const afterFrom = /\b(?:from|join)\s+$/i.test(before);
  if (!asked && word.length < (afterFrom ? 1 : 2)) return [];
  const wanted = word.toLowerCase();
  const of = (names: readonly Suggestion[]) => {
    const fits = names.filter(({ name }) => name.toLowerCase().includes(wanted) && name.toLowerCase() !== wanted);
    return [...fits.filter(({ name }) => name.toLowerCase().startsWith(wanted)), ...fits.filter(({ name }) => !name.toLowerCase().startsWith(wanted))];
  };
  const byTable = of(tables.map((table) => ({ name: table.name, writes: table.name, note: "table" })));
  if (afterFrom) return byTable.slice(0, MOST_SUGGESTED);
  const columns = of(columnsFor(sql, tables).map((column) => ({ name: column.name, writes: nameInSql(column.name), note: shortType(column.type) })));
  const functions = of(FUNCTIONS.map(({ name, note }) => ({ name, writes: name === "now" ? "now()" : `${name}(`, note }))).filter(({ name }) => asked || name.startsWith(wanted));
  const words = of(KEYWORDS.map((name) => ({ name, writes: `${name} `, note: "" }))).filter(({ name }) => name.toLowerCase().startsWith(wanted));
  return [...columns, ...functions, ...words].slice(0, MOST_SUGGESTED);
}

/** True where `before` ends inside of a quoted text or a comment: nothing is completed there. */
function inside(before: string): boolean {
  const rest = before.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*\n|\/\*[\s\S]*?\*\//g, "");
  return /['"]|--|\/\*/.test(rest);
}

const WORDS_OF_SQL = new Set(["time", "type", "user", "order", "group", "table", "start", "end", "value", "key", "index", "from", "to", "all", "in", "out"]);

/** A column as it is written in a question: dots need no quotes, other signs, capitals and words of SQL do. */
export function nameInSql(name: string): string {
  const plain = name.split(".").every((part) => /^[a-z_][a-z0-9_]*$/.test(part)) && !WORDS_OF_SQL.has(name);
  return plain ? name : `"${name.replaceAll('"', '""')}"`;
}

/** An Arrow type in a word that a reader needs: `time`, `text`, `integer`, `number`, `address`. */
export function shortType(type: string): string {
  const inner = /^Dictionary\([^,]+, (.*)\)$/.exec(type)?.[1] ?? type;
  if (/^(Timestamp|Date)/.test(inner)) return "time";
  if (/^(Duration|Interval)/.test(inner)) return "span";
  if (/^U?Int/.test(inner)) return "integer";
  if (/^(Float|Decimal)/.test(inner)) return "number";
  if (/Utf8/.test(inner)) return "text";
  if (inner === "Boolean") return "yes/no";
  if (/^FixedSizeBinary\(16\)/.test(inner)) return "address";
  return inner.toLowerCase();
}

/** A first look at a table: its newest rows, by the first column of time. */
export function firstLook(table: QueryTable): string {
  const time = table.columns.find((column) => shortType(column.type) === "time");
  return `SELECT *\nFROM ${nameInSql(table.name)}${time ? `\nWHERE ${nameInSql(time.name)} > now() - INTERVAL '1 hour'\nORDER BY ${nameInSql(time.name)} DESC` : ""}\nLIMIT 100`;
}

/** How long a question is for the node. */
export function bytesOf(sql: string): number {
  return new TextEncoder().encode(sql).length;
}

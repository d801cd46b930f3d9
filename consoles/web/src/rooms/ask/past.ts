// The questions that were asked in this browser, newest first; nothing of their answers. Kept by tenant.

export interface Past {
  sql: string;
  /** When it was last asked, in Unix milliseconds. */
  atMs: number;
}

const MOST = 40;
const MOST_BYTES = 200_000;
const keyOf = (tenant: string) => `holm.asked.${tenant}`;

/** The list with `sql` on top: one entry a question, bounded in number and in size. */
export function remember(past: readonly Past[], sql: string, atMs: number): Past[] {
  const next = [{ sql, atMs }, ...past.filter((each) => each.sql.trim() !== sql.trim())].slice(0, MOST);
  let bytes = 0;
  return next.filter((each, n) => (bytes += each.sql.length) <= MOST_BYTES || n === 0);
}

/** Reads what was kept; what is not of its shape is left out, whoever wrote it. */
export function parse(text: string | null): Past[] {
  if (!text) return [];
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.filter(isPast).slice(0, MOST).map(({ sql, atMs }) => ({ sql, atMs })) : [];
  } catch {
    return [];
  }
}

function isPast(each: unknown): each is Past {
  return typeof each === "object" && each !== null && "sql" in each && typeof each.sql === "string" && "atMs" in each && typeof each.atMs === "number";
}

/** A browser that keeps nothing (private, full) is no reason to fail: the list then lasts as long as the page. */
export function load(tenant: string): Past[] {
  try {
    return parse(localStorage.getItem(keyOf(tenant)));
  } catch {
    return [];
  }
}

export function save(tenant: string, past: readonly Past[]): void {
  try {
    if (past.length === 0) localStorage.removeItem(keyOf(tenant));
    else localStorage.setItem(keyOf(tenant), JSON.stringify(past));
  } catch {
    // Full or forbidden.
  }
}

/** A question in one line. */
export function oneLine(sql: string): string {
  return sql.replace(/\s+/g, " ").trim();
}

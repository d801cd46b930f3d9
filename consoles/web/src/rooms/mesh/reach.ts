// Who reaches whom: from what each node says to what a site says, to the ways between sites, and to the matrix that is shown.
import type { MeshView } from "../../api/types";

/** What a site says of another: `none` without a view of it, or where its view leaves the other out. */
export type Says = "yes" | "no" | "not_tried" | "none";

/** A way between two sites, `a` before `b` in order. */
export interface Way {
  a: string;
  b: string;
  /** What `a` says of `b`, and `b` of `a`. */
  ab: Says;
  ba: Says;
  /** `broken`: none of the two that says anything reaches the other; `half`: one does and one does not. */
  state: "open" | "half" | "broken" | "untried";
}

export interface Reach {
  /** Every site that is known of, in order. */
  sites: readonly string[];
  /** The sites that have said what they see lately. */
  viewed: ReadonlySet<string>;
  says: (by: string, of: string) => Says;
}

/** Which of two words says more, of two nodes of a site: what one of them reaches is reached. */
const MORE: Record<Says, number> = { yes: 3, no: 2, not_tried: 1, none: 0 };

/** Joins the views of a site's nodes. */
export function reachOf(view: Pick<MeshView, "site" | "views" | "lags" | "members">): Reach {
  const said = new Map<string, Map<string, Says>>();
  const sites = new Set([view.site, ...view.lags.map((lag) => lag.site), ...view.members.map((member) => member.site)]);
  for (const each of view.views) {
    const of = said.get(each.site) ?? new Map<string, Says>();
    said.set(each.site, of);
    sites.add(each.site);
    for (const { site, reached } of each.reached) {
      sites.add(site);
      const known = of.get(site) ?? "none";
      if (MORE[reached] > MORE[known]) of.set(site, reached);
    }
  }
  return {
    sites: [...sites].sort(byName),
    viewed: new Set(said.keys()),
    says: (by, of) => said.get(by)?.get(of) ?? "none",
  };
}

/** Every way that somebody spoke of, by name of its ends. */
export function waysOf(reach: Reach, within: (site: string) => boolean): Way[] {
  const sites = reach.sites.filter(within);
  const ways: Way[] = [];
  for (let i = 0; i < sites.length; i++) {
    for (let j = i + 1; j < sites.length; j++) {
      const [a, b] = [sites[i] ?? "", sites[j] ?? ""];
      const [ab, ba] = [reach.says(a, b), reach.says(b, a)];
      if (ab === "none" && ba === "none") continue;
      ways.push({ a, b, ab, ba, state: wayState(ab, ba) });
    }
  }
  return ways;
}

function wayState(ab: Says, ba: Says): Way["state"] {
  const yes = ab === "yes" || ba === "yes";
  const no = ab === "no" || ba === "no";
  return yes ? (no ? "half" : "open") : no ? "broken" : "untried";
}

/** Up to this many sites the matrix has all of them. */
export const MATRIX_MOST = 40;

export interface Matrix {
  /** Who says. */
  rows: readonly string[];
  /** Who is spoken of. */
  columns: readonly string[];
  /** True if only what has trouble is shown. */
  troubleOnly: boolean;
  /** Rows and columns with trouble that are not shown, because there are more than `MATRIX_MOST`. */
  leftOut: { rows: number; columns: number };
}

/** All sites by all sites while they can be read; else who says "no" by whom it is said of, those with most of it first chosen. */
export function matrixOf(reach: Reach, within: (site: string) => boolean): Matrix {
  const sites = reach.sites.filter(within);
  if (sites.length <= MATRIX_MOST) return { rows: sites, columns: sites, troubleOnly: false, leftOut: { rows: 0, columns: 0 } };
  const byRow = new Map<string, number>();
  const byColumn = new Map<string, number>();
  for (const by of sites) {
    if (!reach.viewed.has(by)) continue;
    for (const of of sites) {
      if (by === of || reach.says(by, of) !== "no") continue;
      byRow.set(by, (byRow.get(by) ?? 0) + 1);
      byColumn.set(of, (byColumn.get(of) ?? 0) + 1);
    }
  }
  return {
    rows: worst(byRow), columns: worst(byColumn), troubleOnly: true,
    leftOut: { rows: Math.max(0, byRow.size - MATRIX_MOST), columns: Math.max(0, byColumn.size - MATRIX_MOST) },
  };
}

/** The `MATRIX_MOST` with the highest count, then in order of name. */
function worst(counts: ReadonlyMap<string, number>): string[] {
  const most = [...counts].sort(([a, n], [b, m]) => m - n || byName(a, b)).slice(0, MATRIX_MOST);
  return most.map(([site]) => site).sort(byName);
}

/** What the views come to for one site. */
export interface Standing {
  /** Who reaches it, who tried in vain. */
  reachedBy: readonly string[];
  notReachedBy: readonly string[];
  /** Whom it reaches and does not, by its own word; `null` without a view of it. */
  says: { reaches: readonly string[]; not: readonly string[]; notTried: readonly string[] } | null;
}

export function standingOf(reach: Reach, site: string): Standing {
  const others = reach.sites.filter((each) => each !== site);
  const own = (word: Says) => others.filter((other) => reach.says(site, other) === word);
  return {
    reachedBy: others.filter((by) => reach.says(by, site) === "yes"),
    notReachedBy: others.filter((by) => reach.says(by, site) === "no"),
    says: reach.viewed.has(site) ? { reaches: own("yes"), not: own("no"), notTried: own("not_tried") } : null,
  };
}

/** Names in order, the same in every browser. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// From the node's answers and the URL to the one picture that is shown: filtered, compared, grouped, with what fails in it.
import { useMemo, useState } from "react";

import { useDiff, useResults, useSideBySide, useTopology, useWhatIf } from "../../api/queries";
import type { Topology, TopologyEdge, TopologyNode } from "../../api/types";
import { useUrl } from "../../frame/scope";
import { oneSite, split, type GroupBy } from "../../frame/search";
import type { Blast } from "../../parts/graph/attributes";
import { clustered, lifted, MOST_VISIBLE, standsFor } from "../../parts/graph/cluster";
import { bestGrouping, membersBy, type Grouping } from "../../parts/graph/members";
import { blastOf, filterTopology, picture, type NodeTally, type Picture } from "../../parts/graph/model";
import { compared, comparisonOf, withVanished, type Comparison } from "./changes";

const NO_RESULTS: never[] = [];

export interface Shown {
  /** The elements in scope, ghosts of what vanished among them. */
  elements: { nodes: readonly TopologyNode[]; edges: readonly TopologyEdge[] };
  /** All of them, one by one. */
  whole: Picture;
  /** What is drawn: `whole`, or groups in its place. */
  drawn: Picture;
  /** What the picture is grouped by, if it is. */
  grouping: Grouping | null;
  groups: readonly NodeTally[];
  blast: Blast | undefined;
  /** What stands in the picture for the selected element. */
  selected: string | undefined;
}

export function useComparison(): { comparison: Comparison | undefined; earlier: Topology | undefined; error: unknown; again: () => void; busy: boolean } {
  const url = useUrl();
  const diff = useDiff(url.diff, url.at, oneSite(url.site));
  const earlier = useTopology({ at: url.diff, site: oneSite(url.site) }, url.diff !== undefined);
  const comparison = useMemo(() => (url.diff && diff.data ? comparisonOf(diff.data) : undefined), [url.diff, diff.data]);
  return {
    comparison, earlier: url.diff ? earlier.data : undefined, error: url.diff ? (diff.error ?? earlier.error) : null,
    again: () => void diff.refetch(), busy: url.diff !== undefined && (diff.isPlaceholderData || diff.isPending),
  };
}

export function usePicture(topology: Topology, { comparison, earlier }: { comparison: Comparison | undefined; earlier: Topology | undefined }): Shown {
  const url = useUrl();
  const results = useResults();
  const failing = topology.live ? (results.data?.items ?? NO_RESULTS) : NO_RESULTS;
  const world = useMemo(() => withVanished(topology, earlier, comparison), [topology, earlier, comparison]);
  const elements = useMemo(() => filterTopology(world, { sites: split(url.site), hide: split(url.hide) }), [world, url.site, url.hide]);
  const whole = useMemo(() => {
    const plain = picture(world, elements, failing);
    return comparison ? compared(plain, comparison) : plain;
  }, [world, elements, failing, comparison]);

  const crowded = useCrowded(whole.nodes.length + whole.edges.length);
  const grouping = useMemo(() => groupingFor(url.by, crowded, world), [url.by, crowded, world]);
  const groups = useMemo(() => (grouping ? membersBy(grouping, world.nodes, world.edges) : null), [grouping, world]);
  const drawn = useMemo(
    () => (groups && grouping ? clustered(whole, groups, url.open, `${grouping} ${url.open ?? ""}`) : { ...whole, framing: "everything" }),
    [whole, groups, grouping, url.open],
  );
  const tallies = useMemo(() => drawn.nodes.flatMap((node) => node.cluster ?? []).sort((a, b) => b.count - a.count || (a.group < b.group ? -1 : 1)), [drawn]);

  const one = useWhatIf(url.fail, url.at);
  const two = useSideBySide(url.fail, url.fail2, url.at);
  const blast = useMemo(() => {
    const impacts = url.fail2 ? (two.data ? [two.data.left, two.data.right] : []) : url.fail && one.data ? [one.data] : [];
    if (impacts.length === 0) return undefined;
    const plain = both(impacts.map(blastOf));
    return groups ? lifted(plain, groups, url.open) : plain;
  }, [url.fail, url.fail2, one.data, two.data, groups, url.open]);
  const selected = useMemo(() => (url.el && groups ? standsFor(drawn, groups, url.el) : url.el), [url.el, groups, drawn]);

  return { elements, whole, drawn, grouping, groups: tallies, blast, selected };
}

/** What fails or is touched in any of several failures. */
function both(blasts: readonly Blast[]): Blast {
  const failed = new Set(blasts.flatMap((each) => [...each.failed]));
  return { failed, touched: new Set(blasts.flatMap((each) => [...each.touched]).filter((id) => !failed.has(id))) };
}

/** True above what can be seen at once; a picture that hovers around that does not flip to and fro. */
function useCrowded(elements: number): boolean {
  const [was, setWas] = useState(false);
  const is = elements > (was ? MOST_VISIBLE * 0.9 : MOST_VISIBLE);
  if (is !== was) setWas(is);
  return is;
}

function groupingFor(by: GroupBy | undefined, crowded: boolean, world: Topology): Grouping | null {
  if (by === "none") return null;
  if (by !== undefined) return by;
  return crowded ? bestGrouping(world.nodes, world.edges) : null;
}

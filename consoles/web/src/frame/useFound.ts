// What a search text finds: at once what this page knows, and as soon as it comes what the node finds, best first.
import { useEffect, useMemo, useState } from "react";

import { useSearch } from "../api/queries";
import type { TopologyEdge, TopologyNode } from "../api/types";
import { find, merge, type Found } from "./find";

const REST_MS = 120;

export interface Answer {
  items: readonly Found[];
  /** How many nodes the node found; null until it answers. */
  total: number | null;
}

export function useFound(text: string, at: string | undefined, pages: readonly Found[], actions: readonly Found[], nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Answer {
  const settled = useSettled(text.trim(), REST_MS);
  const answer = useSearch(settled, at);
  // What was found for another text is not what this text finds.
  const said = settled === text.trim() ? answer.data : undefined;
  const local = useMemo(() => find(text, pages, actions, nodes, edges), [text, pages, actions, nodes, edges]);
  return useMemo(() => (said ? { items: merge(local, said.items, nodes), total: said.total } : { items: local, total: null }), [local, said, nodes]);
}

/** `value` once it has not changed for `ms`. */
function useSettled(value: string, ms: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

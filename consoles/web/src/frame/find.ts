// What a search text finds. Bounded work: at most one pass over the picture, at most a screenful of answers.
import type { TopologyEdge, TopologyNode } from "../api/types";
import type { IconName } from "../parts/icons";

export interface Found {
  group: "Pages" | "Elements" | "Actions";
  id: string;
  name: string;
  note: string;
  icon: IconName;
}

const MOST_ELEMENTS = 30;

/** Names that start with `text` come first, then names that contain it, then edges. Without a text: pages and actions. */
export function find(text: string, pages: readonly Found[], actions: readonly Found[], nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Found[] {
  const wanted = text.trim().toLowerCase();
  const fits = (item: Found) => item.name.toLowerCase().includes(wanted);
  if (!wanted) return [...pages, ...actions];
  const first: Found[] = [];
  const later: Found[] = [];
  for (const node of nodes) {
    const name = node.label.toLowerCase();
    const starts = name.startsWith(wanted) || node.id.toLowerCase().startsWith(wanted);
    if (!starts && !name.includes(wanted) && !node.id.toLowerCase().includes(wanted)) continue;
    if (starts ? first.length < MOST_ELEMENTS : later.length < MOST_ELEMENTS) {
      (starts ? first : later).push({ group: "Elements", id: node.id, name: node.label, note: `${node.kind} · ${node.sites.join(", ")}`, icon: "topology" });
    }
    if (first.length >= MOST_ELEMENTS) break;
  }
  const elements = [...first, ...later].slice(0, MOST_ELEMENTS);
  for (const edge of edges) {
    if (elements.length >= MOST_ELEMENTS) break;
    if (edge.id.toLowerCase().includes(wanted)) elements.push({ group: "Elements", id: edge.id, name: `${edge.from} → ${edge.to}`, note: `${edge.kind} · ${edge.sites.join(", ")}`, icon: "out" });
  }
  return [...pages.filter(fits), ...elements, ...actions.filter(fits)];
}

/** What this page found with what the node found in place of it: in the node's order, which knows more than names. Edges of this page that the node did not name stay. */
export function merge(local: readonly Found[], ids: readonly string[], nodes: readonly TopologyNode[]): Found[] {
  const wanted = new Set(ids);
  const known = new Map<string, TopologyNode>();
  for (const node of nodes) if (wanted.has(node.id)) known.set(node.id, node);
  const said = ids.map((id): Found => {
    const [from, edge, to] = id.split("|");
    if (edge !== undefined && to !== undefined) return { group: "Elements", id, name: `${from} → ${to}`, note: edge, icon: "out" };
    const node = known.get(id);
    const kind = id.slice(0, id.indexOf(":"));
    return { group: "Elements", id, name: node?.label ?? id.slice(kind.length + 1), note: node ? `${node.kind} · ${node.sites.join(", ")}` : `${kind} · not in this scope`, icon: "topology" };
  });
  const lines = local.filter((item) => item.group === "Elements" && item.id.includes("|") && !wanted.has(item.id));
  return [...local.filter((item) => item.group === "Pages"), ...said, ...lines, ...local.filter((item) => item.group === "Actions")];
}

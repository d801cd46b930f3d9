// The picture as a table: every node and edge that is shown.
import type { TopologyEdge, TopologyNode } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { State, Time } from "../../parts/basics";
import type { Look, Picture } from "../../parts/graph/model";
import { SITE_LOOKS, type StateLook } from "../../parts/states";
import { Table, type Column } from "../../parts/table";

export interface ElementRow {
  id: string;
  type: "node" | "edge";
  kind: string;
  label: string;
  look: Look;
  sites: string;
  since: string;
  provenance: string;
  attributes: Record<string, string>;
}

const LOOKS: Record<Look, StateLook> = {
  live: SITE_LOOKS.live, stale: SITE_LOOKS.stale, unreachable: SITE_LOOKS.unreachable, unknown: SITE_LOOKS.never_heard,
  warn: { tone: "warn", mark: "triangle", word: "probes fail from some", means: "some sites' probes do not reach it" },
  bad: { tone: "bad", mark: "square", word: "probes fail", means: "probes do not reach it" },
};

export const COLUMNS: readonly Column<ElementRow>[] = [
  { id: "state", title: "State", width: "150px", value: (row) => LOOKS[row.look].word, show: (row) => <State look={LOOKS[row.look]} /> },
  { id: "type", title: "Type", width: "64px", value: (row) => row.type, show: (row) => <span className="faint">{row.type}</span> },
  { id: "kind", title: "Kind", width: "80px", value: (row) => row.kind },
  { id: "name", title: "Name", width: "minmax(220px, 3fr)", value: (row) => row.label, show: (row) => <span className="mono" title={row.id}>{row.label}</span> },
  { id: "sites", title: "Observed by", width: "minmax(110px, 1fr)", value: (row) => row.sites },
  { id: "since", title: "Since", width: "150px", value: (row) => row.since, show: (row) => <Time iso={row.since} /> },
  { id: "provenance", title: "How", width: "90px", value: (row) => row.provenance },
];

export function rowsOf(drawn: Picture, shown: { nodes: readonly TopologyNode[]; edges: readonly TopologyEdge[] }): ElementRow[] {
  const looks = new Map<string, Look>([...drawn.nodes, ...drawn.edges].map((each) => [each.id, each.look]));
  const look = (id: string): Look => looks.get(id) ?? "unknown";
  return [
    ...shown.nodes.map((node): ElementRow => ({ id: node.id, type: "node", kind: node.kind, label: node.label, look: look(node.id), sites: node.sites.join(", "), since: node.since, provenance: "observed", attributes: node.attributes })),
    ...shown.edges.map((edge): ElementRow => ({ id: edge.id, type: "edge", kind: edge.kind, label: `${edge.from} → ${edge.to}`, look: look(edge.id), sites: edge.sites.join(", "), since: edge.since, provenance: edge.provenance, attributes: edge.attributes })),
  ];
}

export function TopologyTable({ rows }: { rows: readonly ElementRow[] }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  return <Table label="Elements" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} onOpen={(row) => setUrl({ el: row.id })} selected={(row) => row.id === url.el} empty="No element in this scope." fill />;
}

// The picture as a table: every node and edge that is shown.
import type { TopologyEdge, TopologyNode } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { State, Time } from "../../parts/basics";
import type { Change, Look, Picture } from "../../parts/graph/model";
import { SITE_LOOKS, type StateLook } from "../../parts/states";
import { Table, type Column } from "../../parts/table";
import { ChangeMark } from "./ChangesSide";

export interface ElementRow {
  id: string;
  type: "node" | "edge";
  kind: string;
  label: string;
  look: Look;
  sites: string;
  since: string;
  provenance: string;
  change: Change | undefined;
  attributes: TopologyNode["attributes"];
}

const LOOKS: Record<Look, StateLook> = {
  live: SITE_LOOKS.live, stale: SITE_LOOKS.stale, unreachable: SITE_LOOKS.unreachable, unknown: SITE_LOOKS.never_heard,
  warn: { tone: "warn", mark: "triangle", word: "probes fail from some", means: "some sites' probes do not reach it" },
  bad: { tone: "bad", mark: "square", word: "probes fail", means: "probes do not reach it" },
};

const COLUMNS: readonly Column<ElementRow>[] = [
  { id: "state", title: "State", width: "150px", value: (row) => LOOKS[row.look].word, show: (row) => <State look={LOOKS[row.look]} /> },
  { id: "type", title: "Type", width: "64px", value: (row) => row.type, show: (row) => <span className="faint">{row.type}</span> },
  { id: "kind", title: "Kind", width: "80px", value: (row) => row.kind },
  { id: "name", title: "Name", width: "minmax(220px, 3fr)", value: (row) => row.label, show: (row) => <span className="mono" title={row.id}>{row.label}</span> },
  { id: "sites", title: "Observed by", width: "minmax(110px, 1fr)", value: (row) => row.sites },
  { id: "since", title: "Since", width: "150px", value: (row) => row.since, show: (row) => <Time iso={row.since} /> },
  { id: "provenance", title: "How", width: "90px", value: (row) => row.provenance },
];

const CHANGE: Column<ElementRow> = {
  id: "change", title: "Change", width: "110px", value: (row) => row.change ?? null,
  show: (row) => (row.change ? <span className="change-cell"><ChangeMark change={row.change} /> {row.change}</span> : <span className="faint">same</span>),
};

/** With two moments compared, what became of each element comes first. */
export function columnsFor(compared: boolean): readonly Column<ElementRow>[] {
  return compared ? [CHANGE, ...COLUMNS] : COLUMNS;
}

export function rowsOf(drawn: Picture, shown: { nodes: readonly TopologyNode[]; edges: readonly TopologyEdge[] }): ElementRow[] {
  const known = new Map([...drawn.nodes, ...drawn.edges].map((each) => [each.id, each]));
  const look = (id: string): Look => known.get(id)?.look ?? "unknown";
  const change = (id: string) => known.get(id)?.change;
  return [
    ...shown.nodes.map((node): ElementRow => ({ id: node.id, type: "node", kind: node.kind, label: node.label, look: look(node.id), sites: node.sites.join(", "), since: node.since, provenance: "observed", change: change(node.id), attributes: node.attributes })),
    ...shown.edges.map((edge): ElementRow => ({ id: edge.id, type: "edge", kind: edge.kind, label: `${edge.from} → ${edge.to}`, look: look(edge.id), sites: edge.sites.join(", "), since: edge.since, provenance: edge.provenance, change: change(edge.id), attributes: edge.attributes })),
  ];
}

export function TopologyTable({ rows, compared }: { rows: readonly ElementRow[]; compared: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  return <Table label="Elements" columns={columnsFor(compared)} rows={rows} rowKey={(row) => row.id} onOpen={(row) => setUrl({ el: row.id })} selected={(row) => row.id === url.el} empty="No element in this scope." fill />;
}

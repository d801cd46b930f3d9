// The tenant's documents at this node: digest, budget, and what did not apply.
import type { MeshView } from "../../api/types";
import { Copy, Section, Time, Toned } from "../../parts/basics";
import { count, plural, shortDigest } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { bytesText } from "./rates";

type Held = MeshView["documents"];
type Document = Held["items"][number];
type Quarantined = Held["quarantined"][number];

const DOCUMENTS: readonly Column<Document>[] = [
  { id: "name", title: "Document", width: "minmax(200px, 2fr)", value: (row) => row.name, show: (row) => <span className="mono" title={row.name}>{row.name}</span> },
  { id: "bytes", title: "Size", width: "96px", numeric: true, value: (row) => row.bytes, show: (row) => <span title={plural(row.bytes, "byte")}>{bytesText(row.bytes)}</span> },
  { id: "ops", title: "Operations", width: "104px", numeric: true, value: (row) => row.ops, show: (row) => count(row.ops) },
  { id: "heads", title: "Heads", width: "80px", numeric: true, value: (row) => row.heads, show: (row) => count(row.heads) },
  { id: "over_budget", title: "Budget", width: "112px", value: (row) => (row.over_budget ? "over" : "within"), show: (row) => (row.over_budget ? <Toned tone="warn">over</Toned> : <span className="faint">within</span>) },
];

const QUARANTINED: readonly Column<Quarantined>[] = [
  { id: "document", title: "Document", width: "minmax(180px, 1.4fr)", value: (row) => row.document, show: (row) => <span className="mono" title={row.document}>{row.document}</span> },
  { id: "from", title: "Sent by", width: "minmax(130px, 1fr)", value: (row) => row.from, show: (row) => <span title={row.from}>{row.from}</span> },
  { id: "reason", title: "Why it did not apply", width: "minmax(220px, 2.4fr)", value: (row) => row.reason, show: (row) => <span title={row.reason}>{row.reason}</span> },
  { id: "bytes", title: "Size", width: "88px", numeric: true, value: (row) => row.bytes, show: (row) => bytesText(row.bytes) },
  { id: "at", title: "When", width: "130px", value: (row) => row.at, show: (row) => <Time iso={row.at} /> },
];

export function Documents({ held, at }: { held: Held; at: string }) {
  const listed = held.items.length < held.total ? `, the ${count(held.items.length)} largest listed` : "";
  return (
    <>
      {held.at_start.map((told) => <p key={told} className="notice tone-warn-soft" role="note">When this node started: {told}</p>)}
      {held.quarantined.length > 0 && (
        <Section title="Quarantined" note="did not apply; the bytes are kept, and it is asked for again elsewhere" actions={<ExportMenu what="quarantined" at={at} columns={QUARANTINED} rows={held.quarantined} />} flush>
          <Table label="Quarantined" columns={QUARANTINED} rows={held.quarantined} rowKey={(row) => `${row.document} ${row.from} ${row.at} ${row.bytes}`} empty="Nothing is quarantined." maxRows={8} />
        </Section>
      )}
      <Section
        title="Documents"
        note={<span title="Equal digests mean that two nodes hold the same documents.">{plural(held.total, "document")}, {bytesText(held.bytes)}{listed}; digest <span className="mono">{shortDigest(held.digest)}</span> <Copy text={held.digest} label="Copy the whole digest" /></span>}
        actions={<ExportMenu what="documents" at={at} columns={DOCUMENTS} rows={held.items} />}
        flush
      >
        <p className="mesh-line">
          {held.over_budget > 0 ? <Toned tone="warn">{plural(held.over_budget, "document")} over budget: a new epoch begins at the next write</Toned> : <span className="faint">None over budget.</span>}
          {held.quarantined.length === 0 ? <span className="faint"> Nothing quarantined.</span> : <span className="toned tone-bad"> <StateMark mark="square" tone="bad" />{plural(held.quarantined.length, "change")} quarantined</span>}
        </p>
        <Table label="Documents" columns={DOCUMENTS} rows={held.items} rowKey={(row) => row.name} empty="This node holds no document of the tenant." maxRows={8} />
      </Section>
    </>
  );
}

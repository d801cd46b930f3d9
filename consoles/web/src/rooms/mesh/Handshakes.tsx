// Where this node looks for others, and whom it refused or who refused it.
import type { MeshView } from "../../api/types";
import { Age, Section, Toned } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";

type Seed = MeshView["seeds"][number];
type Refusal = MeshView["refusals"][number];

const SEEDS: readonly Column<Seed>[] = [
  { id: "address", title: "Address", width: "minmax(150px, 1fr)", value: (row) => row.address, show: (row) => <span className="mono" title={row.address}>{row.address}</span> },
  { id: "last_refusal", title: "Last refusal", width: "minmax(150px, 1.4fr)", value: (row) => row.last_refusal, show: (row) => (row.last_refusal ? <span title={row.last_refusal}><Toned tone="warn">{row.last_refusal}</Toned></span> : <span className="faint">none</span>) },
];

const WAYS: Record<string, string> = { dialled: "this node called", accepted: "it called", closed: "it closed" };

const REFUSALS: readonly Column<Refusal>[] = [
  { id: "at", title: "When", width: "88px", value: (row) => row.at, show: (row) => <Age iso={row.at} /> },
  { id: "address", title: "Address", width: "minmax(140px, 1fr)", value: (row) => row.address, show: (row) => <span className="mono" title={row.address}>{row.address}</span> },
  { id: "direction", title: "How", width: "120px", value: (row) => row.direction, show: (row) => WAYS[row.direction] ?? row.direction },
  { id: "reason", title: "Reason", width: "minmax(200px, 2fr)", value: (row) => row.reason, show: (row) => <span title={row.reason}>{row.reason}</span> },
  { id: "count", title: "Times", width: "72px", numeric: true, value: (row) => row.count, show: (row) => count(row.count) },
];

export function Handshakes({ view }: { view: MeshView }) {
  return (
    <div className="two">
      <Section title="Seeds" note={plural(view.seeds.length, "address", "addresses")} flush>
        <Table label="Seeds" columns={SEEDS} rows={view.seeds} rowKey={(row) => row.address} empty="No seed: members are found by those that are known." maxRows={6} />
      </Section>
      <Section title="Refusals" note="handshakes that failed, connections that were closed; the latest" flush>
        <Table label="Refusals" columns={REFUSALS} rows={view.refusals} rowKey={(row) => `${row.address} ${row.direction} ${row.reason}`} empty="No handshake was refused." maxRows={6} />
      </Section>
    </div>
  );
}

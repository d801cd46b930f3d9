// The nodes: state, round trip, clock, heard, lag, the latest reconciliation, certificate, refusal.
import { useNow } from "../../frame/clock";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Section, State, Toned } from "../../parts/basics";
import { ago, ahead, count, NOT_MEASURED, plural, wholeMillis } from "../../parts/format";
import { PEER_LOOKS, skewTone, svidTone } from "../../parts/states";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { lagText } from "./lag";
import type { NodeRow } from "./nodes";
import { bytesText } from "./rates";

const COLUMNS: readonly Column<NodeRow>[] = [
  { id: "node", title: "Node", width: "minmax(140px, 1fr)", value: (row) => `${row.site}/${row.node}`, show: (row) => <span className="mono" title={`${row.spiffeId ?? "not connected: its identity was not verified"}\n${row.peerId ?? ""}`}>{row.site}/{row.node}</span> },
  { id: "state", title: "State", width: "108px", value: (row) => row.state, show: (row) => <State look={PEER_LOOKS[row.state]} /> },
  { id: "connected", title: "Connection", width: "100px", value: (row) => (row.connected ? (row.via ? `relayed via ${row.via}` : "direct") : "none"), show: (row) => (row.state === "self" ? <span className="faint">itself</span> : row.connected ? <span title={`${row.via ? `through ${row.via}, which sees ciphertext` : "direct"}${row.connectedSince ? `, open since ${row.connectedSince}` : ""}`}>{row.via ? `via ${row.via}` : "direct"}</span> : <span className="faint">none</span>) },
  { id: "rtt_ms", title: "Round trip", width: "92px", numeric: true, value: (row) => row.rttMs, show: (row) => (row.rttMs === null ? <Dash /> : wholeMillis(row.rttMs)) },
  { id: "clock_skew_ms", title: "Clock skew", width: "96px", numeric: true, value: (row) => row.skewMs, show: (row) => (row.skewMs === null ? <Dash /> : <Toned tone={skewTone(row.skewMs)}><span title={clockText(row.clock)}>{wholeMillis(row.skewMs)}</span></Toned>) },
  { id: "last_heard", title: "Heard", width: "100px", value: (row) => row.heard, show: (row) => (row.state === "self" ? <span className="faint">itself</span> : <Age iso={row.heard} />) },
  { id: "lag_ms", title: "Lag", width: "92px", numeric: true, value: (row) => row.lagMs, show: (row) => (row.state === "self" ? <span className="faint">none</span> : row.lagMs === null ? <span className="faint">never heard</span> : row.signed === false ? <Toned tone="warn"><span title="Whoever passed its lease on may have made it up: it did not sign, as nodes of older releases do not">{lagText(row.lagMs)}, unsigned</span></Toned> : lagText(row.lagMs)) },
  { id: "last_sync", title: "Latest reconciliation", width: "minmax(190px, 1.6fr)", value: (row) => row.sync?.error ?? row.sync?.at ?? null, show: (row) => <Sync sync={row.sync} /> },
  { id: "svid_not_after", title: "SVID ends", width: "96px", value: (row) => row.svidNotAfter, show: (row) => <SvidEnd iso={row.svidNotAfter} /> },
  { id: "last_refusal", title: "Last refusal", width: "minmax(120px, 1.3fr)", value: (row) => row.refusal, show: (row) => (row.refusal ? <span title={row.refusal}>{row.refusal}</span> : <span className="faint">none</span>) },
  { id: "addresses", title: "Address", width: "minmax(130px, 1fr)", value: (row) => row.addresses.join(" "), show: (row) => <span className="mono" title={row.addresses.join("\n")}>{row.addresses[0] ?? NOT_MEASURED}</span> },
];

export function Nodes({ rows, at }: { rows: readonly NodeRow[]; at: string }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  return (
    <Section title="Nodes" note={plural(rows.length, "node")} actions={<ExportMenu what="nodes" at={at} columns={COLUMNS} rows={rows} />} flush>
      <Table label="Nodes" columns={COLUMNS} rows={rows} rowKey={(row) => `${row.site}/${row.node}`} empty="No node in this scope." selected={(row) => row.site === url.focus} onOpen={(row) => setUrl({ focus: row.site }, true)} />
    </Section>
  );
}

/** The bounds that the skew stands on, and the ways there and back. */
function clockText(clock: NodeRow["clock"]): string {
  if (!clock) return "about: this node sends no timestamps to bound it by";
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 1);
  return `its clock is ${ms(clock.offset_ms)} ms ahead of this node's, ± ${ms(clock.error_ms)} ms (negative: behind)
the way there takes ${ms(clock.one_way_out_ms_min)} to ${ms(clock.one_way_out_ms_max)} ms, the way back ${ms(clock.one_way_in_ms_min)} to ${ms(clock.one_way_in_ms_max)} ms
from ${plural(clock.samples, "ping")} of the last minute`;
}

function Dash() {
  return <span className="faint" title="not measured">{NOT_MEASURED}</span>;
}

function Sync({ sync }: { sync: NodeRow["sync"] }) {
  const now = useNow();
  if (!sync) return <span className="faint" title="this node began none with it">none begun here</span>;
  const moved = `${plural(sync.pulled, "document")} in, ${count(sync.pushed)} out, ${bytesText(sync.bytes_in)} in, ${bytesText(sync.bytes_out)} out`;
  if (sync.error) return <span title={`${sync.error}\n${sync.at}\n${moved}`}><Toned tone="bad">{ago(sync.at, now)}: {sync.error}</Toned></span>;
  return <span title={`${sync.at}\n${moved}`}>{ago(sync.at, now)}: {count(sync.pulled)} in, {count(sync.pushed)} out{sync.failed > 0 && <>, <Toned tone="bad">{count(sync.failed)} failed</Toned></>}</span>;
}

function SvidEnd({ iso }: { iso: string | null }) {
  const now = useNow();
  if (iso === null) return <Dash />;
  return <span title={iso}><Toned tone={svidTone(iso, now)}>{ahead(iso, now)}</Toned></span>;
}

// The mesh: who is heard, how old, with what certificate, and what this node counted.
import { useMemo } from "react";

import { isLoggedOut } from "../../api/client";
import { useDigest, useSites } from "../../api/queries";
import type { Peer, Site, Sites } from "../../api/types";
import { useNow } from "../../frame/clock";
import { inScope, useUrl } from "../../frame/scope";
import { Age, Copy, Failure, SameBy, Section, State, Time, Toned, Waiting } from "../../parts/basics";
import { ahead, count, millis, NOT_MEASURED, plural, shortDigest } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { PEER_LOOKS, SITE_LOOKS, skewTone, svidTone } from "../../parts/states";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Tenants } from "./Tenants";
import "./mesh.css";

interface PeerRow extends Peer {
  site: string;
}

const SITE_COLUMNS: readonly Column<Site>[] = [
  { id: "site", title: "Site", width: "minmax(110px, 1fr)", value: (row) => row.site, show: (row) => <strong>{row.site}</strong> },
  { id: "state", title: "State", width: "130px", value: (row) => row.state, show: (row) => <State look={SITE_LOOKS[row.state]} /> },
  { id: "as_of", title: "Picture as of", width: "130px", value: (row) => row.as_of, show: (row) => <Age iso={row.as_of} /> },
  { id: "last_heard", title: "Last heard", width: "150px", value: (row) => row.last_heard, show: (row) => <Time iso={row.last_heard} /> },
  { id: "nodes", title: "Nodes", width: "80px", numeric: true, value: (row) => row.nodes.length },
  { id: "elements", title: "Elements it holds open", width: "minmax(180px, 1fr)", numeric: true, value: (row) => row.elements.nodes + row.elements.edges, show: (row) => <>{count(row.elements.nodes)} nodes, {count(row.elements.edges)} edges</> },
];

const PEER_COLUMNS: readonly Column<PeerRow>[] = [
  { id: "node", title: "Node", width: "minmax(110px, 1fr)", value: (row) => row.node, show: (row) => <span className="mono" title={`${row.spiffe_id ?? "not connected: its identity was not verified"}\n${row.peer_id}`}>{row.node}</span> },
  { id: "site", title: "Site", width: "100px", value: (row) => row.site },
  { id: "state", title: "State", width: "108px", value: (row) => row.state, show: (row) => <State look={PEER_LOOKS[row.state]} /> },
  { id: "connected", title: "Connection", width: "108px", value: (row) => (row.connected ? "open" : "none"), show: (row) => (row.state === "self" ? <span className="faint">itself</span> : row.connected ? "open" : <span className="faint">none</span>) },
  { id: "rtt_ms", title: "Round trip", width: "92px", numeric: true, value: (row) => row.rtt_ms, show: (row) => (row.rtt_ms === null ? <Dash /> : millis(row.rtt_ms)) },
  { id: "clock_skew_ms", title: "Clock skew", width: "96px", numeric: true, value: (row) => row.clock_skew_ms, show: (row) => (row.clock_skew_ms === null ? <Dash /> : <Toned tone={skewTone(row.clock_skew_ms)}>{millis(row.clock_skew_ms)}</Toned>) },
  { id: "svid_not_after", title: "SVID ends", width: "104px", value: (row) => row.svid_not_after, show: (row) => <SvidEnd iso={row.svid_not_after} /> },
  { id: "addresses", title: "Address", width: "minmax(140px, 1.3fr)", value: (row) => row.addresses.join(" "), show: (row) => <span className="mono" title={row.addresses.join("\n")}>{row.addresses[0] ?? NOT_MEASURED}</span> },
  { id: "last_refusal", title: "Last refusal", width: "minmax(130px, 1.3fr)", value: (row) => row.last_refusal, show: (row) => (row.last_refusal ? <span title={row.last_refusal}>{row.last_refusal}</span> : <span className="faint">none</span>) },
];

function Dash() {
  return <span className="faint" title="not measured">{NOT_MEASURED}</span>;
}

function SvidEnd({ iso }: { iso: string | null }) {
  const now = useNow();
  if (iso === null) return <Dash />;
  return <span title={iso}><Toned tone={svidTone(iso, now)}>{ahead(iso, now)}</Toned></span>;
}

export function Mesh() {
  const sites = useSites();
  return (
    <div className="room">
      <header className="room-head"><h1>Mesh</h1><DigestLine /></header>
      {sites.error && !isLoggedOut(sites.error) && <Failure error={sites.error} again={() => void sites.refetch()} />}
      {sites.isPending && <Waiting rows={8} />}
      {sites.data && <Loaded sites={sites.data} />}
      <SameBy path="/v1/sites" cli="holm sites" />
    </div>
  );
}

function DigestLine() {
  const digest = useDigest();
  if (!digest.data) return null;
  return (
    <p className="faint" title="Equal digests mean that two nodes hold the same documents.">
      {plural(digest.data.documents, "document")}, digest <span className="mono">{shortDigest(digest.data.digest)}</span> <Copy text={digest.data.digest} label="Copy the whole digest" />
    </p>
  );
}

function Loaded({ sites }: { sites: Sites }) {
  const url = useUrl();
  const scoped = useMemo(() => {
    const within = inScope(url);
    return sites.items.filter((site) => within(site.site));
  }, [sites, url]);
  const peers = useMemo(() => scoped.flatMap((site) => site.nodes.map((node): PeerRow => ({ ...node, site: site.site }))), [scoped]);
  return (
    <>
      {!sites.mesh_running && <p className="notice tone-warn-soft" role="note"><StateMark mark="triangle" tone="warn" /> The mesh does not run at this node: it observes and serves its own site only.</p>}
      {sites.conflicts.map((conflict) => <p key={conflict} className="notice tone-bad-soft" role="note"><StateMark mark="square" tone="bad" /> {conflict}</p>)}
      <Section title="Sites" note={<>as {sites.self_site} sees them</>} actions={<ExportMenu what="sites" at={new Date().toISOString()} columns={SITE_COLUMNS} rows={scoped} />} flush>
        <Table label="Sites" columns={SITE_COLUMNS} rows={scoped} rowKey={(row) => row.site} empty="No site in this scope." />
      </Section>
      <Section title="Nodes" note={plural(peers.length, "node")} actions={<ExportMenu what="nodes" at={new Date().toISOString()} columns={PEER_COLUMNS} rows={peers} />} flush>
        <Table label="Nodes" columns={PEER_COLUMNS} rows={peers} rowKey={(row) => `${row.site}/${row.node}`} empty="No node in this scope." />
      </Section>
      <Tenants />
      <Section title="Counters" note="since this node started">
        <Counters counters={sites.counters} />
      </Section>
    </>
  );
}

export function Counters({ counters }: { counters: Record<string, number> }) {
  const entries = Object.entries(counters).sort(([a], [b]) => a.localeCompare(b));
  if (entries.length === 0) return <p className="faint">Nothing was counted yet.</p>;
  return (
    <dl className="counters">
      {entries.map(([name, value]) => (
        <div key={name}><dt>{name.replaceAll("_", " ")}</dt><dd>{count(value)}</dd></div>
      ))}
    </dl>
  );
}

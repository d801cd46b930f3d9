// The mesh: what is down and who saw it, the mesh drawn, who reaches whom, nodes, documents, traffic and everything that was dropped.
import { useMemo } from "react";

import { ApiError, isLoggedOut } from "../../api/client";
import { MESH_EVERY_MS, useMesh, useSites } from "../../api/queries";
import type { MeshView, Site, Sites } from "../../api/types";
import { useNow } from "../../frame/clock";
import { inScope, useUrl } from "../../frame/scope";
import { Age, Button, Failure, Nothing, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { count, plural, span } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { SITE_LOOKS } from "../../parts/states";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Counters } from "./Counters";
import { Documents } from "./Documents";
import { Forgotten } from "./Forget";
import { Handshakes } from "./Handshakes";
import { lagText, seenOf } from "./lag";
import { MeshPicture, type Drawn } from "./MeshPicture";
import { nodeRows } from "./nodes";
import { Nodes } from "./Nodes";
import { reachOf } from "./reach";
import { ReachMatrix } from "./ReachMatrix";
import { Tenants } from "./Tenants";
import { Traffic, useRates } from "./Traffic";
import { about } from "./verdicts";
import { Verdicts } from "./Verdicts";
import "./mesh.css";

/** An answer older than this is marked: three were missed. */
const OLD_MS = 3 * MESH_EVERY_MS;

interface SiteRow extends Site {
  lagMs: number | null;
}

const SITE_COLUMNS: readonly Column<SiteRow>[] = [
  { id: "site", title: "Site", width: "minmax(110px, 1fr)", value: (row) => row.site, show: (row) => <strong>{row.site}</strong> },
  { id: "state", title: "State", width: "130px", value: (row) => row.state, show: (row) => <State look={SITE_LOOKS[row.state]} /> },
  { id: "lag_ms", title: "Lag", width: "96px", numeric: true, value: (row) => row.lagMs, show: (row) => (row.is_self ? <span className="faint">none</span> : lagText(row.lagMs)) },
  { id: "as_of", title: "Picture as of", width: "130px", value: (row) => row.as_of, show: (row) => <Age iso={row.as_of} /> },
  { id: "last_heard", title: "Last heard", width: "150px", value: (row) => row.last_heard, show: (row) => <Time iso={row.last_heard} /> },
  { id: "nodes", title: "Nodes", width: "80px", numeric: true, value: (row) => row.nodes.length },
  { id: "elements", title: "Elements it holds open", width: "minmax(180px, 1fr)", numeric: true, value: (row) => row.elements.nodes + row.elements.edges, show: (row) => <>{count(row.elements.nodes)} nodes, {count(row.elements.edges)} edges</> },
];

export function Mesh() {
  const mesh = useMesh();
  const sites = useSites();
  const error = mesh.data ? null : mesh.error;
  return (
    <div className="room">
      <header className="room-head"><h1>Mesh</h1>{mesh.data && <Summary view={mesh.data.view} />}</header>
      {error && !isLoggedOut(error) && <Failure error={error} again={() => void mesh.refetch()} />}
      {mesh.isPending && <Waiting rows={8} />}
      {mesh.data && <Loaded view={mesh.data.view} answer={{ atMs: mesh.data.atMs, cameMs: mesh.dataUpdatedAt, failed: failedText(mesh.failureReason), again: () => void mesh.refetch() }} sites={sites.data} />}
      <SameBy path="/v1/mesh" cli="holm mesh top" />
    </div>
  );
}

/** How the shown answer stands: when it came, on the node's clock and on the reader's, and why no newer one did. */
interface Answered {
  atMs: number;
  cameMs: number;
  failed: string | null;
  again: () => void;
}

function failedText(reason: unknown): string | null {
  if (reason === null || reason === undefined) return null;
  return reason instanceof ApiError && reason.status !== 0 ? reason.message : "this node does not answer";
}

function Summary({ view }: { view: MeshView }) {
  const open = view.members.filter((member) => member.connected).length;
  return <p className="faint">as {view.site}/{view.node} sees it; {open} of {plural(view.members.length, "other node")} connected to it</p>;
}

function Loaded({ view, answer, sites }: { view: MeshView; answer: Answered; sites: Sites | undefined }) {
  const url = useUrl();
  const within = useMemo(() => inScope(url), [url]);
  const reach = useMemo(() => reachOf(view), [view]);
  const drawn = useMemo((): Drawn => ({
    view, reach, seen: seenOf(reach.sites.filter(within), view.lags, view.lag_due_ms), troubled: new Set(view.verdicts.flatMap(about)),
  }), [view, reach, within]);
  const rows = useMemo(() => nodeRows(view, sites).filter((row) => within(row.site)), [view, sites, within]);
  const rates = useRates(view, answer.cameMs);
  const alone = reach.sites.length < 2;
  const at = new Date(answer.atMs).toISOString();
  const counts = useMemo(() => Object.fromEntries(view.counts.map((each) => [each.name, each.count])), [view.counts]);
  return (
    <>
      <Old answer={answer} />
      <Warnings view={view} sites={sites} />
      <Verdicts view={view} alone={alone} />
      <Section title="The mesh drawn" note={alone ? undefined : "colour is the lag, shape the state"}>
        {drawn.seen.length === 0
          ? <Nothing title="No site in this scope">Choose another scope in the bar.</Nothing>
          : <OldPicture drawn={drawn} answer={answer} />}
        {alone && <Nothing title="This site is alone">A mesh needs a second site: make a token with <code>holm token create --site S</code> here, and <code>holm join TOKEN</code> there.</Nothing>}
      </Section>
      {!alone && <Section title="Who reaches whom" note="rows say, columns are spoken of"><ReachMatrix reach={reach} within={within} /></Section>}
      <Nodes rows={rows} at={at} />
      {sites && <SiteTable sites={sites} view={view} within={within} at={at} />}
      <Documents held={view.documents} at={at} />
      <Traffic view={view} rates={rates} />
      <Handshakes view={view} />
      <Tenants />
      <Forgotten gone={view.gone} />
      <Section title="Counters" note="since this node started">
        <Counters counters={counts} />
      </Section>
    </>
  );
}

/** True once the shown answer is older than it should be. */
function useOld({ atMs, failed }: Answered): boolean {
  return useNow() - atMs > OLD_MS || failed !== null;
}

function OldPicture({ drawn, answer }: { drawn: Drawn; answer: Answered }) {
  return <MeshPicture drawn={drawn} old={useOld(answer)} />;
}

function Old({ answer }: { answer: Answered }) {
  const now = useNow();
  if (!useOld(answer)) return null;
  const { atMs, failed, again } = answer;
  return (
    <div className="notice tone-warn-soft" role="note">
      <StateMark mark="clock" tone="warn" />
      <span className="grow">No newer answer{failed ? `: ${failed}` : ""}. What is shown is of <Time iso={new Date(atMs).toISOString()} />, {span(now - atMs)} old. The node is asked again by itself.</span>
      <Button onClick={again}>Ask now</Button>
    </div>
  );
}

function Warnings({ view, sites }: { view: MeshView; sites: Sites | undefined }) {
  const warnings = [...new Set([...view.warnings, ...(sites?.conflicts ?? [])])];
  return (
    <>
      {sites && !sites.mesh_running && <p className="notice tone-warn-soft" role="note"><StateMark mark="triangle" tone="warn" /> The mesh does not run at this node: it observes and serves its own site only.</p>}
      {!view.replicating && <p className="notice tone-bad-soft" role="note"><StateMark mark="square" tone="bad" /> <span>Not replicating: {view.replicating_reason ?? "the mesh does not run at this node"}</span></p>}
      {view.not_granted && <p className="notice tone-bad-soft" role="note"><StateMark mark="square" tone="bad" /> <span>{view.not_granted}</span></p>}
      {warnings.map((warning) => <p key={warning} className="notice tone-warn-soft" role="note"><StateMark mark="triangle" tone="warn" /> {warning}</p>)}
    </>
  );
}

function SiteTable({ sites, view, within, at }: { sites: Sites; view: MeshView; within: (site: string) => boolean; at: string }) {
  const rows = useMemo(() => {
    const lags = new Map(view.lags.map((lag) => [lag.site, lag.lag_ms]));
    return sites.items.filter((site) => within(site.site)).map((site): SiteRow => ({ ...site, lagMs: lags.get(site.site) ?? null }));
  }, [sites, view.lags, within]);
  return (
    <Section title="Sites" note={<>as {sites.self_site} sees them</>} actions={<ExportMenu what="sites" at={at} columns={SITE_COLUMNS} rows={rows} />} flush>
      <Table label="Sites" columns={SITE_COLUMNS} rows={rows} rowKey={(row) => row.site} empty="No site in this scope." />
    </Section>
  );
}

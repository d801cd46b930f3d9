// Paging: who is told of incidents, by which provider, and what became of it.
import { useState } from "react";

import { isLoggedOut } from "../../api/client";
import { useMe, usePageConnectors, usePageDeliveries, usePageRoutes } from "../../api/queries";
import type { PageConnector, PageDelivery, PageRoute } from "../../api/types";
import { Age, Button, Failure, Nothing, SameBy, Section, State, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { SEVERITY_LOOKS } from "../incidents/incidents";
import { ConnectorForm } from "./ConnectorForm";
import { ProviderLink, Replay } from "./Deliveries";
import { connectorLook, lengthText, placeText, PROVIDERS, STATE_LOOKS, statesText, takesText } from "./pages";
import { RouteForm } from "./RouteForm";
import "./pages.css";

const none = <span className="faint">{NOT_MEASURED}</span>;

const CONNECTORS: readonly Column<PageConnector>[] = [
  { id: "state", title: "State", width: "136px", value: (row) => connectorLook(row).word, show: (row) => <State look={connectorLook(row)} /> },
  { id: "name", title: "Connector", width: "minmax(120px, 1fr)", value: (row) => row.name },
  { id: "provider", title: "Provider", width: "minmax(130px, 1fr)", value: (row) => (row.provider ? PROVIDERS[row.provider].label : null), show: (row) => (row.provider ? PROVIDERS[row.provider].label : none) },
  { id: "place", title: "Where", width: "minmax(160px, 2fr)", value: placeText, show: (row) => <span title={row.last_failure ?? undefined}>{placeText(row) || <span className="faint">the provider&rsquo;s own</span>}</span> },
  { id: "queued", title: "Queued", width: "84px", numeric: true, value: (row) => row.queued },
  { id: "dead", title: "Dead", width: "72px", numeric: true, value: (row) => row.dead },
  { id: "last", title: "Delivered", width: "110px", value: (row) => row.last_delivered_at, show: (row) => <Age iso={row.last_delivered_at} /> },
];

const ROUTES: readonly Column<PageRoute>[] = [
  { id: "name", title: "Route", width: "minmax(110px, 1fr)", value: (row) => row.name, show: (row) => <span title={row.problem ?? undefined}>{row.name}{row.problem && <span className="tag page-tag">{row.paused ? "paused" : "tells nobody"}</span>}{row.conflicts.length > 0 && <span className="tag page-tag">disputed</span>}</span> },
  { id: "takes", title: "Takes", width: "minmax(200px, 2fr)", value: takesText },
  { id: "after", title: "After", width: "80px", numeric: true, value: (row) => row.after_s, show: (row) => (row.after_s > 0 ? lengthText(row.after_s) : "at once") },
  { id: "repeat", title: "Again", width: "80px", numeric: true, value: (row) => row.repeat_s, show: (row) => (row.repeat_s === null ? none : lengthText(row.repeat_s)) },
  { id: "resolve", title: "The end", width: "96px", value: (row) => (row.resolve ? "told" : "not told") },
  { id: "connectors", title: "Tells", width: "minmax(120px, 1fr)", value: (row) => row.connectors.join(", ") },
];

const DELIVERIES: readonly Column<PageDelivery>[] = [
  { id: "state", title: "State", width: "132px", value: (row) => row.state, show: (row) => <State look={STATE_LOOKS[row.state]} /> },
  { id: "at", title: "Since", width: "100px", value: (row) => row.at, show: (row) => <Age iso={row.at} /> },
  { id: "severity", title: "Severity", width: "110px", value: (row) => row.severity, show: (row) => <State look={SEVERITY_LOOKS[row.severity]} quiet /> },
  { id: "title", title: "What", width: "minmax(200px, 2fr)", value: (row) => row.title, show: (row) => <span title={row.reason ?? row.incident}>{row.title}</span> },
  { id: "event", title: "Told", width: "104px", value: (row) => row.event },
  { id: "connector", title: "By", width: "minmax(100px, 1fr)", value: (row) => row.connector },
  { id: "by", title: "From", width: "minmax(100px, 1fr)", value: (row) => row.by },
  { id: "provider_id", title: "At the provider", width: "minmax(110px, 1fr)", value: (row) => row.provider_id, show: (row) => (row.provider_id || row.url ? <ProviderLink page={row} /> : none) },
];

/** What is open below a list: a name, or something new. */
type Open = { of: "connector" | "route"; name: string | null } | null;

export function Paging() {
  const me = useMe();
  const connectors = usePageConnectors();
  const routes = usePageRoutes();
  const [only, setOnly] = useState<PageDelivery["state"] | undefined>(undefined);
  const deliveries = usePageDeliveries(only);
  const [open, setOpen] = useState<Open>(null);
  const admin = me.data?.role === "admin";
  const close = () => setOpen(null);
  const edit = (of: "connector" | "route", name: string | null) => admin && setOpen({ of, name });
  const dead = deliveries.data?.items.filter((row) => row.state === "dead").slice(0, 20) ?? [];
  return (
    <div className="room">
      <header className="room-head"><h1>Paging</h1>{connectors.data && <span className="faint">delivered by {connectors.data.pagers.join(", ") || "nobody yet"}</span>}</header>
      {connectors.error && !isLoggedOut(connectors.error) && <Failure error={connectors.error} again={() => void connectors.refetch()} />}
      {connectors.isPending && <Waiting rows={4} />}
      {connectors.data && connectors.data.freshness.unreachable.length > 0 && (
        <p className="notice tone-warn-soft" role="note">Not heard now: {connectors.data.freshness.unreachable.join(", ")}. Who does not hear this site pages for itself, by the same keys.</p>
      )}
      {connectors.data && (
        <Section title="Connectors" note={plural(connectors.data.total, "connector")} actions={admin && <Button onClick={() => edit("connector", null)}>New…</Button>} flush>
          <Table label="Connectors" columns={CONNECTORS} rows={connectors.data.items} rowKey={(row) => row.name} onOpen={(row) => edit("connector", row.name)} selected={(row) => open?.of === "connector" && row.name === open.name} empty="Nobody can be told yet: holm page set connector NAME --provider …, or New." />
        </Section>
      )}
      {open?.of === "connector" && <ConnectorForm key={open.name ?? ""} connector={connectors.data?.items.find((row) => row.name === open.name)} onClose={close} />}
      {routes.error && !isLoggedOut(routes.error) && <Failure error={routes.error} again={() => void routes.refetch()} />}
      {routes.data && (
        <Section title="Routes" note={plural(routes.data.total, "route")} actions={admin && <Button onClick={() => edit("route", null)}>New…</Button>} flush>
          <Table label="Routes" columns={ROUTES} rows={routes.data.items} rowKey={(row) => row.name} onOpen={(row) => edit("route", row.name)} selected={(row) => open?.of === "route" && row.name === open.name} empty="No route: nobody is paged, whatever is wrong." />
        </Section>
      )}
      {open?.of === "route" && <RouteForm key={open.name ?? ""} route={routes.data?.items.find((row) => row.name === open.name)} connectors={connectors.data?.items.map((row) => row.name) ?? []} onClose={close} />}
      {me.data && !admin && <p className="faint">Connectors and routes are written by admins: `holm login-link --role admin`.</p>}
      {deliveries.error && !isLoggedOut(deliveries.error) && <Failure error={deliveries.error} again={() => void deliveries.refetch()} />}
      {deliveries.data && (
        <Section
          title="Messages"
          note={statesText(deliveries.data.states)}
          actions={<>
            <select className="page-filter" aria-label="Only in this state" value={only ?? ""} onChange={(event) => setOnly((event.target.value || undefined) as PageDelivery["state"] | undefined)}>
              <option value="">all</option>{Object.entries(STATE_LOOKS).map(([state, look]) => <option key={state} value={state}>{look.word}</option>)}
            </select>
            <ExportMenu what="pages" at={new Date(deliveries.dataUpdatedAt).toISOString()} columns={DELIVERIES} rows={deliveries.data.items} />
          </>}
          flush
        >
          <Table label="Messages" columns={DELIVERIES} rows={deliveries.data.items} rowKey={(row) => row.id} empty={only ? "None in this state." : "Nobody was told of anything yet."} />
        </Section>
      )}
      {dead.length > 0 && (
        <Section title="Dead letters" note="given up or refused, and kept">
          <ul className="page-list">{dead.map((row) => <li key={row.id}><State look={STATE_LOOKS.dead} /><div><p><strong>{row.connector}</strong> {row.title}</p><p className="faint">{row.reason}</p><Replay id={row.id} /></div></li>)}</ul>
        </Section>
      )}
      {connectors.data?.total === 0 && <Nothing title="Nobody is paged">A connector says how a provider is reached, a route which incidents it is told of.</Nothing>}
      <SameBy path="/v1/paging/deliveries" cli="holm page list" />
    </div>
  );
}

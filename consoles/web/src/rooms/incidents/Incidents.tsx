// Incidents: what is wrong, as all sites' reports come to; one of them with what it is made of and what is done about it.
import { useMemo } from "react";

import { incidentsPath, isLoggedOut } from "../../api/client";
import { useIncidents } from "../../api/queries";
import type { Incident } from "../../api/types";
import { oneSite } from "../../frame/search";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { NOT_MEASURED } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { caveats, SEVERITY_LOOKS, STATE_LOOKS, stateCount, STATES, statesAsked, summary, verdictText } from "./incidents";
import { OneIncident } from "./OneIncident";
import "./incidents.css";

const SEVERITY_ORDER: Record<Incident["severity"], string> = { critical: "1", warning: "2", info: "3" };

const COLUMNS: readonly Column<Incident>[] = [
  { id: "severity", title: "Severity", width: "104px", value: (row) => `${SEVERITY_ORDER[row.severity]} ${row.severity}`, show: (row) => <State look={SEVERITY_LOOKS[row.severity]} quiet={row.state === "resolved"} /> },
  { id: "state", title: "State", width: "128px", value: (row) => row.state, show: (row) => <State look={STATE_LOOKS[row.state]} /> },
  { id: "title", title: "What", width: "minmax(220px, 3fr)", value: (row) => row.title, show: (row) => <What incident={row} /> },
  { id: "verdict", title: "Seen from", width: "minmax(150px, 1.4fr)", value: (row) => verdictText(row), show: (row) => <span title={verdictText(row)}>{verdictText(row)}</span> },
  { id: "owner", title: "Owner", width: "100px", value: (row) => row.owner, show: (row) => row.owner ?? <span className="faint" title="nobody's">{NOT_MEASURED}</span> },
  { id: "opened_at", title: "Opened", width: "92px", value: (row) => row.opened_at, show: (row) => <Age iso={row.opened_at} /> },
  { id: "last_signal_at", title: "Last signal", width: "104px", value: (row) => row.last_signal_at, show: (row) => <Age iso={row.last_signal_at} /> },
];

function What({ incident }: { incident: Incident }) {
  const said = caveats(incident);
  return (
    <span title={[incident.title, ...said].join("\n")}>
      {incident.title}
      {said.map((text) => <span key={text} className="tag incident-caveat">{text}</span>)}
    </span>
  );
}

export function Incidents() {
  const url = useUrl();
  const go = useSetUrl();
  const filter = url.incidents ?? "unresolved";
  const query = useMemo(() => ({ states: statesAsked(filter), site: oneSite(url.site), target: url.q }), [filter, url.site, url.q]);
  const list = useIncidents(query);
  const open = (id: string | undefined) => go({ inc: id });
  return (
    <div className="room">
      <header className="room-head">
        <h1>Incidents</h1>
        <div className="incident-states" role="group" aria-label="Which incidents">
          {STATES.map((state) => (
            <button key={state} type="button" className="button" aria-pressed={filter === state} onClick={() => go({ incidents: state === "unresolved" ? undefined : state })}>
              {state}{list.data && <span className="incident-count">{stateCount(state, list.data.states)}</span>}
            </button>
          ))}
        </div>
      </header>
      {url.at && <p className="notice" role="note">Incidents are shown as they are now, not as they were at <Time iso={url.at} />; each one&rsquo;s timeline says what was known when.</p>}
      {list.error && !isLoggedOut(list.error) && <Failure error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Waiting rows={8} />}
      {list.data && (
        <>
          {list.data.freshness.unreachable.length > 0 && (
            <p className="notice tone-warn-soft" role="note">Not heard now: {list.data.freshness.unreachable.join(", ")}. What they have reported or done since is not here yet; it joins when they are heard again.</p>
          )}
          <Section
            title="Incidents"
            note={summary(list.data.total, filter)}
            actions={<>
              <input className="field" type="search" aria-label="Only with this in the name" placeholder="Only with…" defaultValue={url.q ?? ""} onChange={(event) => go({ q: event.target.value.trim() || undefined })} />
              <ExportMenu what="incidents" at={new Date().toISOString()} columns={COLUMNS} rows={list.data.items} />
            </>}
            flush
          >
            <Table
              label="Incidents" columns={COLUMNS} rows={list.data.items} rowKey={(row) => row.id}
              onOpen={(row) => open(row.id)} selected={(row) => row.id === url.inc || row.also.some((id) => id === url.inc)}
              empty={filter === "unresolved" ? "Nothing is wrong as far as this node has heard." : "None like these."}
            />
          </Section>
          {list.data.items.length < list.data.total && <p className="faint">The first {list.data.items.length} of {list.data.total}: a filter shows others.</p>}
        </>
      )}
      {url.inc && <OneIncident key={url.inc} id={url.inc} onClose={() => open(undefined)} />}
      <SameBy path={incidentsPath(query)} cli={`holm incident list${filter === "all" || filter === "resolved" ? " --all" : ""}`} />
    </div>
  );
}

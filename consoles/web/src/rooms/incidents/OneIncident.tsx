// One incident: where it stands, what can be done, why its reports are one, and all that happened.
import { isLoggedOut } from "../../api/client";
import { useIncident } from "../../api/queries";
import type { IncidentDetail, IncidentReport } from "../../api/types";
import { Age, Button, ElementLink, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { Paged } from "../pages/Deliveries";
import { Actions } from "./Actions";
import { Around } from "./Around";
import { RankedChanges } from "./RankedChanges";
import { Timeline } from "./Timeline";
import { caveats, entryText, SEVERITY_LOOKS, STATE_LOOKS, verdictText } from "./incidents";

export function OneIncident({ id, onClose }: { id: string; onClose: () => void }) {
  const found = useIncident(id);
  return (
    <div className="incident-one">
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={6} />}
      {found.data && <Detail detail={found.data} onClose={onClose} />}
    </div>
  );
}

function Detail({ detail, onClose }: { detail: IncidentDetail; onClose: () => void }) {
  const { incident } = detail;
  const said = caveats(incident);
  return (
    <>
      <Section title={incident.title} note={<span className="mono">{incident.id}</span>} actions={<Button icon="close" label="Close the incident" onClick={onClose} />}>
        <dl className="incident-facts">
          <div><dt>State</dt><dd><State look={STATE_LOOKS[incident.state]} /> <span className="faint">since <Time iso={incident.state_since} /></span>{said.map((text) => <span key={text} className="tag incident-caveat">{text}</span>)}</dd></div>
          <div><dt>Severity</dt><dd><State look={SEVERITY_LOOKS[incident.severity]} /></dd></div>
          <div><dt>Owner</dt><dd>{incident.owner ?? <span className="faint">nobody</span>}</dd></div>
          <div><dt>Opened</dt><dd><Time iso={incident.opened_at} /> <span className="faint"><Age iso={incident.opened_at} /></span></dd></div>
          <div><dt>Seen from</dt><dd>{verdictText(incident)}{incident.vantages.fine.length > 0 && <span className="faint"> · well from {incident.vantages.fine.join(", ")}</span>}</dd></div>
          <div><dt>About</dt><dd>{incident.targets.map((target) => <span key={target} className="incident-target"><ElementLink id={target} /></span>)}</dd></div>
          {incident.resolves_at && <div><dt>Recovery</dt><dd>resolves by itself at <Time iso={incident.resolves_at} /> if nothing more is raised</dd></div>}
        </dl>
        {incident.conflicts.map((conflict) => (
          <div key={conflict.field} className="notice tone-warn-soft" role="note">
            <div>
              <p>The {conflict.field} was set at the same time by people who did not see each other. The first one stands until somebody decides:</p>
              <ul>{conflict.actions.map((action) => <li key={`${action.at} ${action.by}`}>{entryText(action)} <span className="faint">{action.by}, <Time iso={action.at} /></span></li>)}</ul>
            </div>
          </div>
        ))}
        <Actions detail={detail} />
      </Section>
      <Section title="Paged" note={plural(detail.pages.length, "message")}><Paged pages={detail.pages} /></Section>
      <RankedChanges id={incident.id} />
      <Around incident={incident} />
      <Timeline detail={detail} />
      <Reports detail={detail} />
      <SameBy path={`/v1/incidents/${incident.id}`} cli={`holm incident show ${incident.id}`} />
    </>
  );
}

function Reports({ detail }: { detail: IncidentDetail }) {
  const why = new Map(detail.joins.map((join) => [join.report, join.text]));
  const columns: readonly Column<IncidentReport>[] = [
    { id: "state", title: "State", width: "92px", value: (row) => (row.firing ? "firing" : "over"), show: (row) => (row.firing ? <State look={{ tone: "bad", mark: "square", word: "firing", means: "bad still, as far as is known" }} /> : <State look={{ tone: "ok", mark: "disk", word: row.lapsed ? "lapsed" : "over", means: row.lapsed ? "its node started again and does not say it any more" : "it recovered" }} />) },
    { id: "site", title: "By", width: "120px", value: (row) => `${row.site}/${row.node}` },
    { id: "kind", title: "What", width: "minmax(120px, 1fr)", value: (row) => row.kind, show: (row) => <span title={row.text}>{row.plane} <span className="mono">{row.kind}</span></span> },
    { id: "target", title: "About", width: "minmax(150px, 1.2fr)", value: (row) => row.target, show: (row) => <ElementLink id={row.target} /> },
    { id: "why", title: "Part of it because", width: "minmax(220px, 2fr)", value: (row) => why.get(row.id) ?? "it is the first", show: (row) => <span title={why.get(row.id)}>{why.get(row.id) ?? "it is the first"}</span> },
    { id: "raised", title: "Raised", width: "76px", numeric: true, value: (row) => row.raised },
    { id: "since", title: "Since", width: "92px", value: (row) => row.spells[0]?.from ?? null, show: (row) => <Age iso={row.spells[0]?.from} /> },
  ];
  return (
    <Section title="Reports" note={plural(detail.reports.length, "report")} flush>
      <Table label="Reports" columns={columns} rows={detail.reports} rowKey={(row) => row.id} empty="None." />
    </Section>
  );
}

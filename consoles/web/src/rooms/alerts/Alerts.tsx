// Alerts: what fires at which site, the rules that say so, their editor, and silences.
import { Link } from "@tanstack/react-router";

import { isLoggedOut } from "../../api/client";
import { useAlertRules, useAlerts } from "../../api/queries";
import type { Alert, AlertRule, AlertRuleList } from "../../api/types";
import { split, toggle } from "../../frame/search";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Button, ElementLink, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { ALERT_LOOKS, ALERT_STATES, groupText, rounded, RULE_LOOKS, RULE_ORDER } from "./alerts";
import { Editor } from "./Editor";
import { Silences } from "./Silences";
import "./alerts.css";

const COLUMNS: readonly Column<Alert>[] = [
  { id: "state", title: "State", width: "116px", value: (row) => `${ALERT_STATES.indexOf(row.state)} ${row.state}`, show: (row) => <State look={ALERT_LOOKS[row.state]} /> },
  { id: "severity", title: "Severity", width: "92px", value: (row) => row.severity },
  { id: "rule", title: "Rule", width: "minmax(150px, 1.4fr)", value: (row) => row.rule, show: (row) => <Link to="." search={(search) => ({ ...search, rule: row.rule })} className="link" title={row.rule}>{row.title}</Link> },
  { id: "group", title: "Group", width: "minmax(170px, 2fr)", value: (row) => groupText(row.group), show: (row) => <span title={groupText(row.group)}>{groupText(row.group)}</span> },
  { id: "target", title: "About", width: "minmax(130px, 1fr)", value: (row) => row.target ?? "", show: (row) => (row.target ? <ElementLink id={row.target} /> : NOT_MEASURED) },
  { id: "value", title: "Value", width: "92px", numeric: true, value: (row) => row.value ?? null, show: (row) => <span title={typeof row.least === "number" && typeof row.most === "number" ? `usual: ${rounded(row.least)} to ${rounded(row.most)}` : undefined}>{rounded(row.value)}</span> },
  { id: "since", title: "Holds since", width: "108px", value: (row) => row.since, show: (row) => <Age iso={row.since} /> },
  { id: "site", title: "Says", width: "116px", value: (row) => `${row.site}/${row.node}`, show: (row) => <span title={`as of ${row.as_of}`}>{row.site}/{row.node}</span> },
  { id: "incident", title: "Incident", width: "132px", value: (row) => row.incident?.id ?? "", show: (row) => <Told alert={row} /> },
];

function Told({ alert }: { alert: Alert }) {
  if (alert.silenced_by) return <span className="faint" title={`silence ${alert.silenced_by}`}>silenced</span>;
  if (alert.inhibited_by) return <span className="faint">by {alert.inhibited_by}</span>;
  if (!alert.incident) return <span className="faint">{NOT_MEASURED}</span>;
  const { id, state, owner } = alert.incident;
  return <Link to="/incidents" search={{ inc: id }} className="link" title={`${id}${owner ? `, ${owner}` : ""}: acknowledge it there`}>{state}</Link>;
}

const RULES: readonly Column<AlertRule>[] = [
  { id: "state", title: "State", width: "128px", value: (row) => `${RULE_ORDER.indexOf(row.state)} ${row.state}`, show: (row) => <State look={RULE_LOOKS[row.state]} /> },
  { id: "title", title: "Rule", width: "minmax(180px, 2fr)", value: (row) => row.title, show: (row) => <span title={row.description ?? row.name}>{row.title}{row.conflicts > 0 && <span className="tag alert-tag">disputed</span>}{row.file && <span className="tag alert-tag" title={row.file}>file</span>}</span> },
  { id: "severity", title: "Severity", width: "92px", value: (row) => row.severity },
  { id: "table", title: "Looks at", width: "minmax(110px, 1fr)", value: (row) => row.table ?? "rules" },
  { id: "groups", title: "Groups", width: "84px", numeric: true, value: (row) => row.groups },
  { id: "firing", title: "Firing", width: "84px", numeric: true, value: (row) => row.firing },
  { id: "pending", title: "Pending", width: "84px", numeric: true, value: (row) => row.pending },
  { id: "problem", title: "Problem", width: "minmax(160px, 2fr)", value: (row) => problem(row), show: (row) => <span className="faint" title={problem(row)}>{problem(row)}</span> },
];

function problem(rule: AlertRule): string {
  if (rule.problem) return rule.problem;
  const other = rule.nodes.find((node) => node.problem);
  if (other) return `at ${other.site}/${other.node}: ${other.problem ?? ""}`;
  return typeof rule.warming_known === "number" ? `${rule.warming_known} of ${rule.warming_needed ?? 0} earlier hours known` : "";
}

export function Alerts() {
  const url = useUrl();
  const go = useSetUrl();
  const alerts = useAlerts();
  const rules = useAlertRules();
  const hidden = split(url.hide);
  const text = (url.q ?? "").toLowerCase();
  const items = alerts.data?.items ?? [];
  const shown = items.filter((alert) => !hidden.includes(alert.state) && `${alert.rule} ${alert.title} ${groupText(alert.group)} ${alert.site}`.toLowerCase().includes(text));
  const fits = (rules.data?.items ?? []).filter((rule) => `${rule.name} ${rule.title} ${rule.table ?? ""}`.toLowerCase().includes(text));
  return (
    <div className="room">
      <header className="room-head">
        <h1>Alerts</h1>
        <div className="alert-filters" role="group" aria-label="Which states">
          {ALERT_STATES.map((state) => (
            <button key={state} type="button" className="button" title={ALERT_LOOKS[state].means} aria-pressed={!hidden.includes(state)} onClick={() => go({ hide: toggle(url.hide, state) })}>
              {ALERT_LOOKS[state].word} {alerts.data?.counts[state] ?? ""}
            </button>
          ))}
        </div>
        <input className="alert-ask" type="search" aria-label="Only with this in the name" placeholder="Only with…" defaultValue={url.q ?? ""} onChange={(event) => go({ q: event.target.value.trim() || undefined })} />
      </header>
      {url.at && <p className="notice" role="note">Alerts are shown as they are now, not as they were at <Time iso={url.at} />; incidents keep what was.</p>}
      {alerts.error && !isLoggedOut(alerts.error) && <Failure error={alerts.error} again={() => void alerts.refetch()} />}
      {alerts.isPending && <Waiting rows={6} />}
      {alerts.data && (
        <>
          {alerts.data.freshness.unreachable.length > 0 && (
            <p className="notice tone-warn-soft" role="note">Not heard now: {alerts.data.freshness.unreachable.join(", ")}. What is shown of them is what they said last; what fires there since is not known here.</p>
          )}
          <Section title="Now" note={<>{plural(shown.length, "alert")}, judged here <Age iso={alerts.data.as_of} /></>} actions={<ExportMenu what="alerts" at={alerts.data.as_of} columns={COLUMNS} rows={shown} />} flush>
            <Table label="Alerts" columns={COLUMNS} rows={shown} rowKey={(row) => `${row.rule} ${row.site}/${row.node} ${groupText(row.group)}`} empty={items.length === 0 ? "Nothing fires, and nothing is about to." : "None like these."} />
          </Section>
        </>
      )}
      {rules.error && !isLoggedOut(rules.error) && <Failure error={rules.error} again={() => void rules.refetch()} />}
      {rules.data && (
        <>
          <Folder list={rules.data} />
          <Section
            title="Rules" note={rulesNote(rules.data)}
            actions={<><Button icon="plus" onClick={() => go({ rule: "+" })}>New rule</Button><ExportMenu what="alert-rules" at={rules.data.as_of} columns={RULES} rows={fits} /></>} flush
          >
            <Table
              label="Alert rules" columns={RULES} rows={fits} rowKey={(row) => row.name} onOpen={(row) => go({ rule: row.name })} selected={(row) => row.name === url.rule}
              empty={text ? "None like these." : "There are none yet: write one here, or holm alert apply -f FILE."}
            />
          </Section>
        </>
      )}
      {url.rule && <Editor key={url.rule} name={url.rule === "+" ? null : url.rule} onClose={() => go({ rule: undefined })} onSaved={(name) => go({ rule: name })} />}
      <Silences />
      <SameBy path="/v1/alerts" cli="holm alert list" />
    </div>
  );
}

function rulesNote(list: AlertRuleList): string {
  const { judged } = list;
  const shown = list.items.length < list.total ? `, showing ${list.items.length}` : "";
  const late = judged.late_rows > 0 ? `, ${plural(judged.late_rows, "row")} came too late` : "";
  const refused = judged.refused_groups > 0 ? `, ${plural(judged.refused_groups, "group")} found no room` : "";
  return `${plural(list.total, "rule")}${shown}, ${plural(judged.groups, "group")} here${late}${refused}${judged.learning ? ", learning what is usual" : ""}`;
}

/** What is wrong with the folder of policies. */
function Folder({ list }: { list: AlertRuleList }) {
  const { folder } = list;
  if (!folder || (!folder.problem && folder.refused.length === 0)) return null;
  return (
    <div className="notice tone-warn-soft" role="alert">
      {folder.problem && <p>The folder of policies {folder.path} is not read: {folder.problem}. What it said before stands.</p>}
      {folder.refused.map((file) => (
        <div key={file.path}>
          <p><span className="mono">{file.path}</span> is refused; what it said before stands:</p>
          <ul>{file.problems.map((each) => <li key={each}>{each}</li>)}</ul>
        </div>
      ))}
    </div>
  );
}

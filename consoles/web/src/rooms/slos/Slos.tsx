// SLOs: how good it shall be, how much of the budget is left, and how quickly it goes.
import { isLoggedOut } from "../../api/client";
import { useSlos } from "../../api/queries";
import type { Slo, SloObjective, SloRollup } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { OneSlo } from "./OneSlo";
import { burnText, filled, leftText, percent, STATE_LOOKS, summary, tightest } from "./slos";
import "./slos.css";

const STATE_ORDER: readonly Slo["state"][] = ["exhausted", "burning", "broken", "no_data", "cold_start", "met"];
const orderOf = (state: Slo["state"]) => `${STATE_ORDER.indexOf(state)} ${state}`;
const none = <span className="faint" title="nothing was counted">{NOT_MEASURED}</span>;

const COLUMNS: readonly Column<Slo>[] = [
  { id: "state", title: "State", width: "128px", value: (row) => orderOf(row.state), show: (row) => <State look={STATE_LOOKS[row.state]} /> },
  { id: "title", title: "SLO", width: "minmax(200px, 2fr)", value: (row) => row.title, show: (row) => <span title={row.description ?? row.name}>{row.title}{row.conflicts.length > 0 && <span className="tag slo-caveat">disputed</span>}</span> },
  { id: "service", title: "Service", width: "minmax(110px, 1fr)", value: (row) => row.service },
  { id: "target", title: "Target", width: "92px", numeric: true, value: (row) => tightest(row)?.target ?? null, show: (row) => { const of = tightest(row); return of ? percent(of.target) : none; } },
  { id: "attained", title: "Attained", width: "104px", numeric: true, value: (row) => tightest(row)?.attained ?? null, show: (row) => { const share = tightest(row)?.attained ?? null; return share === null ? none : percent(share); } },
  { id: "budget_left", title: "Budget", width: "minmax(184px, 1.2fr)", value: (row) => tightest(row)?.budget_left ?? null, show: (row) => { const of = tightest(row); return of ? <BudgetBar objective={of} /> : none; } },
  { id: "burns", title: "Burn 1 h / 6 h / 3 d", width: "172px", value: (row) => tightest(row)?.burns[0]?.long ?? null, show: (row) => { const of = tightest(row); return of ? <span className="mono">{burnText(of)}</span> : none; } },
];

export function BudgetBar({ objective }: { objective: Pick<SloObjective, "attained" | "budget_left"> }) {
  const text = leftText(objective);
  const tone = objective.attained === null ? "unknown" : objective.budget_left < 0 ? "bad" : objective.budget_left < 0.25 ? "warn" : "ok";
  return (
    <span className="slo-budget" title={`budget: ${text}`}>
      <span className="slo-bar" aria-hidden="true"><span className={`slo-fill ${tone}`} style={{ width: `${(objective.attained === null ? 0 : filled(objective.budget_left)) * 100}%` }} /></span>
      <span>{text}</span>
    </span>
  );
}

export function Slos() {
  const url = useUrl();
  const go = useSetUrl();
  const list = useSlos();
  const text = (url.q ?? "").toLowerCase();
  const fits = (slo: Slo) => [slo.name, slo.title, slo.service ?? "", ...slo.teams].some((each) => each.toLowerCase().includes(text));
  const rows = (list.data?.items ?? []).filter(fits);
  const open = (name: string | undefined) => go({ slo: name });
  return (
    <div className="room">
      <header className="room-head"><h1>SLOs</h1>{list.data && <span className="faint">counted to <Time iso={list.data.as_of} /></span>}</header>
      {url.at && <p className="notice" role="note">SLOs are shown as they are now, not as they were at <Time iso={url.at} />; the way of each budget says how it came to that.</p>}
      {list.error && !isLoggedOut(list.error) && <Failure error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Waiting rows={8} />}
      {list.data && (
        <>
          {list.data.freshness.unreachable.length > 0 && (
            <p className="notice tone-warn-soft" role="note">Not heard now: {list.data.freshness.unreachable.join(", ")}. What they counted since is not in these figures; it is added when they are heard again.</p>
          )}
          <Section
            title="Objectives"
            note={summary(rows, text ? rows.length : list.data.total)}
            actions={<>
              <input className="field" type="search" aria-label="Only with this in the name" placeholder="Only with…" defaultValue={url.q ?? ""} onChange={(event) => go({ q: event.target.value.trim() || undefined })} />
              <ExportMenu what="slos" at={list.data.as_of} columns={COLUMNS} rows={rows} />
            </>}
            flush
          >
            <Table
              label="SLOs" columns={COLUMNS} rows={rows} rowKey={(row) => row.name} onOpen={(row) => open(row.name)} selected={(row) => row.name === url.slo}
              empty={text ? "None like these." : "There are none yet: holm slo apply -f FILE, with a file of OpenSLO, makes some."}
            />
          </Section>
          {url.slo && <OneSlo key={url.slo} name={url.slo} onClose={() => open(undefined)} />}
          {list.data.teams.length > 0 && <Rollups title="Teams" rows={list.data.teams} />}
          {list.data.services.length > 1 && <Rollups title="Services" rows={list.data.services} />}
        </>
      )}
      <SameBy path="/v1/slos" cli="holm slo list" />
    </div>
  );
}

const ROLLUP_COLUMNS: readonly Column<SloRollup>[] = [
  { id: "state", title: "Worst", width: "128px", value: (row) => orderOf(row.state), show: (row) => <State look={STATE_LOOKS[row.state]} /> },
  { id: "name", title: "Name", width: "minmax(140px, 2fr)", value: (row) => row.name },
  { id: "met", title: "Objectives met", width: "132px", numeric: true, value: (row) => row.met, show: (row) => `${row.met} of ${row.objectives}` },
  { id: "burning", title: "Burning", width: "88px", numeric: true, value: (row) => row.burning },
  { id: "least", title: "Least budget", width: "minmax(150px, 1fr)", value: (row) => row.least_budget_left, show: (row) => <BudgetBar objective={{ attained: row.least_budget_left, budget_left: row.least_budget_left ?? 1 }} /> },
];

function Rollups({ title, rows }: { title: string; rows: readonly SloRollup[] }) {
  return (
    <Section title={title} note={plural(rows.length, "group")} flush>
      <Table label={title} columns={ROLLUP_COLUMNS} rows={rows} rowKey={(row) => row.name} empty="None." />
    </Section>
  );
}

// One SLO: the way of its budget, how each pair of windows burns, what each site counted, and the file that says it.
import { isLoggedOut } from "../../api/client";
import { useSlo } from "../../api/queries";
import type { SloBurn, SloDetail, SloObjective, SloPoint, SloSite } from "../../api/types";
import { Button, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { BudgetBar } from "./Slos";
import { length, LOWEST, percent, STATE_LOOKS, way } from "./slos";

const [WIDE, HIGH] = [640, 140];

export function OneSlo({ name, onClose }: { name: string; onClose: () => void }) {
  const found = useSlo(name);
  return (
    <div className="slo-one">
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={6} />}
      {found.data && <Detail detail={found.data} onClose={onClose} />}
    </div>
  );
}

function Detail({ detail, onClose }: { detail: SloDetail; onClose: () => void }) {
  return (
    <>
      <Section title={detail.title} note={<span className="mono">{detail.name}</span>} actions={<Button icon="close" label="Close the SLO" onClick={onClose} />}>
        <dl className="slo-facts">
          <div><dt>State</dt><dd><State look={STATE_LOOKS[detail.state]} /></dd></div>
          {detail.description && <div><dt>For</dt><dd>{detail.description}</dd></div>}
          <div><dt>Service</dt><dd>{detail.service ?? NOT_MEASURED}{detail.teams.length > 0 && <span className="faint"> · team {detail.teams.join(", ")}</span>}</dd></div>
          {detail.window_from && detail.window_to && <div><dt>Window</dt><dd><Time iso={detail.window_from} /> to <Time iso={detail.window_to} /> <span className="faint">{detail.rolling ? "rolling" : "calendar"}, {detail.budgeting}</span></dd></div>}
          <div><dt>Edited</dt><dd>{detail.edited_by}, <Time iso={detail.edited_at} /></dd></div>
        </dl>
        {detail.problem && <p className="notice tone-warn-soft" role="note">{detail.problem}</p>}
        {detail.conflicts.map((conflict) => (
          <p key={`${conflict.at} ${conflict.by}`} className="notice tone-warn-soft" role="note">
            {conflict.by} {conflict.removed ? "took it away" : "wrote something else"} at <Time iso={conflict.at} />, without having seen this edit. The next edit settles it.
          </p>
        ))}
      </Section>
      {detail.objectives.map((objective, n) => <Objective key={n} detail={detail} objective={objective} points={detail.burn_down[n] ?? []} />)}
      {detail.openslo && <Section title="As OpenSLO"><pre className="slo-file" tabIndex={0} role="region" aria-label="OpenSLO document">{JSON.stringify(detail.openslo, null, 2)}</pre></Section>}
      <SameBy path={`/v1/slos/${detail.name}`} cli={`holm slo status ${detail.name}`} />
    </>
  );
}

const BURN_COLUMNS: readonly Column<SloBurn>[] = [
  { id: "state", title: "State", width: "148px", value: (row) => (row.burns ? "burns" : row.held ? "not over" : "well"), show: (row) => <State look={row.burns ? { tone: "bad", mark: "triangle", word: "burns", means: "both windows are over the limit" } : row.held ? { tone: "warn", mark: "clock", word: "not over", means: "the long window is not below the limit yet" } : { tone: "ok", mark: "disk", word: "well", means: "not both windows are at the limit" }} /> },
  { id: "tier", title: "Tier", width: "84px", value: (row) => row.tier },
  { id: "long", title: "Long window", width: "minmax(110px, 1fr)", numeric: true, value: (row) => row.long, show: (row) => `${row.long?.toFixed(2) ?? NOT_MEASURED} over ${length(row.long_window_min)}` },
  { id: "short", title: "Short window", width: "minmax(110px, 1fr)", numeric: true, value: (row) => row.short, show: (row) => `${row.short?.toFixed(2) ?? NOT_MEASURED} over ${length(row.short_window_min)}` },
  { id: "limit", title: "Limit", width: "72px", numeric: true, value: (row) => row.limit },
  { id: "pages", title: "Becomes", width: "120px", value: (row) => (row.pages ? "critical" : "warning") },
];

const SITE_COLUMNS: readonly Column<SloSite>[] = [
  { id: "site", title: "Counted by", width: "minmax(120px, 1fr)", value: (row) => `${row.site}/${row.node}` },
  { id: "attained", title: "Attained", width: "104px", numeric: true, value: (row) => row.attained, show: (row) => (row.attained === null ? NOT_MEASURED : percent(row.attained)) },
  { id: "budget_left", title: "Budget, by itself", width: "minmax(150px, 1fr)", value: (row) => row.budget_left, show: (row) => <BudgetBar objective={row} /> },
  { id: "events", title: "Events", width: "96px", numeric: true, value: (row) => row.events },
  { id: "bad", title: "Bad", width: "88px", numeric: true, value: (row) => row.bad },
];

function Objective({ detail, objective, points }: { detail: SloDetail; objective: SloObjective; points: readonly SloPoint[] }) {
  const title = objective.title ?? "Objective";
  return (
    <Section title={`${title}: ${percent(objective.target)}`} note={objective.attained === null ? "nothing counted" : `${percent(objective.attained)} of ${plural(objective.events, "event")}`}>
      <BudgetBar objective={objective} />
      {objective.cold_start && <p className="faint">Fewer than 50 events in the window: nothing burns yet.</p>}
      {objective.exhausts_at && <p className="notice tone-warn-soft" role="note">Used up at <Time iso={objective.exhausts_at} /> if it goes on as in the last six hours.</p>}
      {points.length > 0 && detail.window_from && detail.window_to && <BudgetPicture points={points} fromMs={Date.parse(detail.window_from)} toMs={Date.parse(detail.window_to)} rolling={detail.rolling} />}
      <Table label={`Burn of ${title}`} columns={BURN_COLUMNS} rows={objective.burns} rowKey={(row) => row.tier} empty="None." />
      <Table label={`Sites of ${title}`} columns={SITE_COLUMNS} rows={objective.sites} rowKey={(row) => `${row.site}/${row.node}`} empty="No site has counted anything." />
    </Section>
  );
}

/** The way of the budget: full at the left, the line where it is used up, and what is below that. */
function BudgetPicture({ points, fromMs, toMs, rolling }: { points: readonly SloPoint[]; fromMs: number; toMs: number; rolling: boolean }) {
  const picture = way(points, fromMs, toMs, rolling, WIDE, HIGH);
  const last = points.at(-1);
  const said = last ? `Budget over the window: from all of it to ${percent(last.budget_left)}` : "Budget over the window";
  return (
    <figure className="slo-way">
      <svg viewBox={`0 -6 ${WIDE} ${HIGH + 12}`} role="img" aria-label={said} preserveAspectRatio="none">
        <line className="slo-zero" x1={0} x2={WIDE} y1={picture.zeroY} y2={picture.zeroY} />
        {picture.even && <polyline className="slo-even" points={picture.even} />}
        <polyline className="slo-line" points={picture.line} />
      </svg>
      <figcaption className="faint">
        100 % at the top, the line is 0 %{picture.low < 0 ? `, ${percent(picture.low)}${picture.low === LOWEST ? " or less" : ""} at the bottom` : ""}; <Time iso={new Date(fromMs).toISOString()} /> to <Time iso={new Date(toMs).toISOString()} />
        {picture.even && "; dashed: the way on which it would just last"}
      </figcaption>
      <details>
        <summary>As a table</summary>
        <Table
          label="The way of the budget" rows={points} rowKey={(row) => row.at} empty="None."
          columns={[
            { id: "at", title: "Until", width: "minmax(150px, 1fr)", value: (row) => row.at, show: (row) => <Time iso={row.at} /> },
            { id: "events", title: "Events", width: "110px", numeric: true, value: (row) => row.events },
            { id: "bad", title: "Bad", width: "110px", numeric: true, value: (row) => row.bad },
            { id: "budget_left", title: "Budget left", width: "120px", numeric: true, value: (row) => row.budget_left, show: (row) => percent(row.budget_left) },
          ]}
        />
      </details>
    </figure>
  );
}

// Traffic that is not as it used to be, and of how much of it that can be said yet.
import { flowPath, isLoggedOut } from "../../api/client";
import { useFlowAnomalies } from "../../api/queries";
import type { FlowAnomaly } from "../../api/types";
import { useKeys } from "../../frame/keys";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Button, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { count } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Standing, Windows } from "./Explore";
import { rateText } from "./flows";

const USUAL = "1d";
const BASELINES: Record<string, string> = { hour_of_week: "this hour of the week", hour_of_day: "this hour of the day", recent: "the last hours" };
const RAISED = { tone: "warn", mark: "triangle", word: "unusual", means: "it holds still" } as const;
const CLEARED = { tone: "ok", mark: "ring", word: "as usual again", means: "it was unusual in the window" } as const;

const LAPSED = { tone: "unknown", mark: "dash", word: "not said again", means: "it was unusual, and nobody said so for 12 minutes: the node was started anew, or nothing is exported any more" } as const;
const LOOKS: Record<string, typeof RAISED | typeof CLEARED | typeof LAPSED> = { raised: RAISED, cleared: CLEARED, lapsed: LAPSED };

const COLUMNS: readonly Column<FlowAnomaly>[] = [
  { id: "state", title: "State", width: "136px", value: (row) => row.state, show: (row) => <State look={LOOKS[row.state] ?? LAPSED} /> },
  { id: "kind", title: "What", width: "82px", value: (row) => row.kind, show: (row) => <span className="tag">{row.kind}</span> },
  { id: "key", title: "Which", width: "minmax(190px, 2fr)", value: (row) => row.key, show: (row) => <span className="mono" title={row.key}>{row.key}</span> },
  { id: "site", title: "Seen at", width: "minmax(80px, 0.6fr)", value: (row) => row.site },
  { id: "current_bps", title: "Now", width: "110px", numeric: true, value: (row) => row.current_bps, show: (row) => rateText(row.current_bps, "bit/s") },
  { id: "expected_bps", title: "Usual", width: "110px", numeric: true, value: (row) => row.expected_bps, show: (row) => <span title={`by ${BASELINES[row.baseline] ?? row.baseline}`}>≈ {rateText(row.expected_bps, "bit/s")}</span> },
  { id: "sigma", title: "Off by", width: "104px", numeric: true, value: (row) => row.sigma, show: (row) => <span title="times the usual spread">{row.direction === "below" ? "↓" : "↑"} {row.sigma.toFixed(1)} ×</span> },
  { id: "since", title: "Since", width: "120px", value: (row) => row.since, show: (row) => <Time iso={row.since} /> },
];

export function Unusual({ off }: { off: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const query = { window: url.window ?? USUAL, to: url.at, site: url.site };
  const answer = useFlowAnomalies(query);
  const again = () => void answer.refetch();
  useKeys({ r: again });
  const data = answer.data;
  const judged = data?.detectors.reduce((sum, each) => sum + each.followed - each.warming, 0) ?? 0;
  return (
    <>
      <div className="flow-controls">
        <Windows value={query.window} onValue={(next) => setUrl({ window: next === USUAL ? undefined : next })} />
        <span className="grow" />
        <Button icon="again" label={answer.isFetching ? "Asking" : "Ask again"} shortcut="r" disabled={answer.isFetching} onClick={again} />
      </div>
      {answer.error && !isLoggedOut(answer.error) && <Failure error={answer.error} again={again} />}
      {answer.isPending && <Waiting rows={6} />}
      {data && <Standing stands={data.stands_on} off={off} onAgain={again} />}
      {data && (
        <>
          <Section title="Detectors" note="links, pairs and networks that are followed, and how many were seen long enough">
            <ul className="flow-collectors">
              {data.detectors.map((each) => (
                <li key={each.site}>
                  <StateMark mark={each.running ? "disk" : "clock"} tone={each.running ? "ok" : "warn"} />
                  <span>{each.site}</span>
                  <span className="faint">follows {count(each.followed)}, of which {each.warming === each.followed ? "none can be judged yet" : `${count(each.followed - each.warming)} can be judged`}{each.warming > 0 && ` (${count(each.warming)} warming)`}; heard <Age iso={each.heard} /></span>
                  {each.refused + each.skipped > 0 && <span className="tone-warn">{count(each.refused)} not followed for want of room, {count(each.skipped)} records not looked at</span>}
                </li>
              ))}
              {data.detectors.length === 0 && <li><StateMark mark="slash" tone="unknown" /> <span className="faint">No detector said anything in this window. That nothing is listed below is no news.</span></li>}
            </ul>
          </Section>
          <Section title="Unusual traffic" actions={<ExportMenu what="flow-anomalies" at={data.stands_on.to} columns={COLUMNS} rows={data.items} />} flush>
            <Table label="Unusual traffic" columns={COLUMNS} rows={data.items} rowKey={(row) => `${row.site} ${row.kind} ${row.key}`} empty={judged > 0 ? `Nothing is unusual among the ${count(judged)} that can be judged.` : "Not measured: nothing can be judged yet."} maxRows={12} />
          </Section>
        </>
      )}
      <SameBy path={flowPath("/anomalies", query)} />
    </>
  );
}

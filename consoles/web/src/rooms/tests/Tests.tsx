// Tests & paths: the tests that somebody made, what every site measures to every other, and the latest results.
import { useMemo, useState } from "react";

import { isLoggedOut } from "../../api/client";
import { usePlanes, useResults, useSites } from "../../api/queries";
import type { LatestResults, ProbeResult, Sites } from "../../api/types";
import { inScope, useUrl } from "../../frame/scope";
import { Age, Button, Failure, Nothing, PlaneIsDegraded, PlaneIsOff, SameBy, Section, State, Waiting } from "../../parts/basics";
import { millis, NOT_MEASURED, plural } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { RESULT_LOOKS } from "../../parts/states";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Pairs } from "./Pairs";
import { Policies } from "./Policies";
import { Posture } from "./Posture";
import { Throughput } from "./Throughput";
import { Trace } from "./Trace";
import { matrix, metricsText, targetSite, type Cell } from "./results";
import "./tests.css";

const COLUMNS: readonly Column<ProbeResult>[] = [
  { id: "result", title: "Result", width: "88px", value: (row) => (row.success ? "ok" : "failed"), show: (row) => <State look={row.success ? RESULT_LOOKS.ok : RESULT_LOOKS.failed} /> },
  { id: "site", title: "From", width: "110px", value: (row) => row.site },
  { id: "probe", title: "Probe", width: "104px", value: (row) => row.probe, show: (row) => <span className="tag">{row.probe}</span> },
  { id: "target", title: "Target", width: "minmax(160px, 1.4fr)", value: (row) => row.target, show: (row) => <span className="mono" title={row.target}>{row.target}</span> },
  { id: "duration_ms", title: "Took", width: "88px", numeric: true, value: (row) => row.duration_ms, show: (row) => millis(row.duration_ms) },
  { id: "error", title: "What was seen", width: "minmax(200px, 2fr)", value: (row) => row.error ?? metricsText(row), show: (row) => <Seen row={row} /> },
  { id: "observed_at", title: "When", width: "88px", value: (row) => row.observed_at, show: (row) => <Age iso={row.observed_at} /> },
];

function Seen({ row }: { row: ProbeResult }) {
  const text = row.error ?? metricsText(row);
  const all = [text, ...Object.entries(row.attributes).map(([key, value]) => `${key}: ${value}`)].join("\n");
  return <span className={row.error ? "" : "faint"} title={all}>{text || NOT_MEASURED}</span>;
}

export function Tests() {
  const results = useResults();
  const sites = useSites();
  const planes = usePlanes();
  const plane = planes.data?.items.find((each) => each.plane === "active");
  return (
    <div className="room">
      <header className="room-head"><h1>Tests &amp; paths</h1></header>
      {plane?.state === "off" && <PlaneIsOff plane={plane} />}
      {plane?.state === "degraded" && <PlaneIsDegraded plane={plane} />}
      <Policies />
      <Posture />
      <Pairs />
      {results.error && !isLoggedOut(results.error) && <Failure error={results.error} again={() => void results.refetch()} />}
      {results.isPending && <Waiting rows={8} />}
      {results.data && sites.data && (plane?.state !== "off" || results.data.items.length > 0) && <Results results={results.data} sites={sites.data} />}
      <Throughput />
      <Trace />
      <SameBy path="/v1/results/latest" cli="holm results" />
    </div>
  );
}

function Results({ results, sites }: { results: LatestResults; sites: Sites }) {
  const url = useUrl();
  const [pair, setPair] = useState<{ from: string; to: string } | null>(null);
  const rows = useMemo(() => {
    const within = inScope(url);
    return results.items.filter((row) => within(row.site) && (!pair || (row.site === pair.from && targetSite(row, sites) === pair.to)));
  }, [results, sites, url, pair]);
  return (
    <>
      <Section title="Latest, by site" note="quickest successful probe of this node; choose a pair to see its results">
        <Matrix results={results} sites={sites} pair={pair} onPair={setPair} />
      </Section>
      <Section
        title="Latest results"
        note={pair ? <>from {pair.from} to {pair.to}</> : plural(rows.length, "probe")}
        actions={<>{pair && <Button icon="close" onClick={() => setPair(null)}>All pairs</Button>}<ExportMenu what="results" at={new Date().toISOString()} columns={COLUMNS} rows={rows} /></>}
        flush
      >
        <Table label="Latest results" columns={COLUMNS} rows={rows} rowKey={(row) => `${row.site} ${row.probe} ${row.target}`} sort={{ id: "result", desc: false }} empty={results.collector_running ? "No probe has run yet in this scope." : "Not measured: no collector runs at this node."} />
      </Section>
    </>
  );
}

function Matrix({ results, sites, pair, onPair }: { results: LatestResults; sites: Sites; pair: { from: string; to: string } | null; onPair: (pair: { from: string; to: string } | null) => void }) {
  const { names, cell } = useMemo(() => matrix(results, sites), [results, sites]);
  if (names.length < 2) return <Nothing title="One site only">A matrix needs a second site: make a token with `holm token create --site S`.</Nothing>;
  return (
    <div className="matrix-scroll" tabIndex={0} role="region" aria-label="Matrix of sites">
      <table className="matrix">
        <thead><tr><th scope="col"><span className="sr">From</span></th>{names.map((name) => <th scope="col" key={name}>{name}</th>)}</tr></thead>
        <tbody>
          {names.map((from) => (
            <tr key={from}>
              <th scope="row">{from}</th>
              {names.map((to) => <td key={to}>{from === to ? <span className="self" aria-label="itself" role="img" /> : <Field cell={cell(from, to)} chosen={pair?.from === from && pair.to === to} onPair={onPair} />}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Field({ cell, chosen, onPair }: { cell: Cell; chosen: boolean; onPair: (pair: { from: string; to: string } | null) => void }) {
  if (cell.results.length === 0) return <span className="field none" title={`${cell.from} → ${cell.to}: not measured`}>{NOT_MEASURED}</span>;
  const tone = cell.failed === 0 ? "ok" : cell.failed === cell.results.length ? "bad" : "warn";
  const word = cell.failed === 0 ? millis(cell.bestMs) : cell.bestMs === null ? "failed" : `${millis(cell.bestMs)}, ${cell.failed} failed`;
  return (
    <button type="button" className={`field tone-${tone}-soft`} aria-pressed={chosen} title={`${cell.from} → ${cell.to}: ${plural(cell.results.length, "probe")}, ${cell.failed} failed`} onClick={() => onPair(chosen ? null : { from: cell.from, to: cell.to })}>
      <StateMark mark={tone === "ok" ? "disk" : tone === "warn" ? "triangle" : "square"} tone={tone} /> {word}
    </button>
  );
}

// What a browser saw when this node ran a test last: steps, web vitals, requests as a waterfall, and the page at the end.
import { useState } from "react";

import { ApiError, isLoggedOut } from "../../api/client";
import { useTestVisit } from "../../api/queries";
import type { BrowserRequest, BrowserRun } from "../../api/types";
import { Button, Failure, Nothing, SameBy, State, Time, Waiting } from "../../parts/basics";
import { compact, millis, NOT_MEASURED, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { barOf, lengthOf, resultOf, vitalsOf } from "./visit";
import "./visit.css";

const GOOD = { tone: "ok", mark: "disk", word: "passed", means: "every step came to its end" } as const;
const BAD = { tone: "bad", mark: "square", word: "failed", means: "a step did not" } as const;

export function Visit({ name }: { name: string }) {
  const [failed, setFailed] = useState(false);
  const found = useTestVisit(name, failed);
  const run = found.data;
  const none = found.error instanceof ApiError && found.error.status === 404;
  return (
    <div className="visit" role="region" aria-label="What the browser saw">
      <h3>What the browser saw</h3>
      <div className="alert-buttons" role="group" aria-label="Which run">
        <Button pressed={!failed} onClick={() => setFailed(false)}>Newest</Button>
        <Button pressed={failed} onClick={() => setFailed(true)}>Newest that failed</Button>
      </div>
      {none && <Nothing title={failed ? "No run that failed" : "No run here"}>This node remembers none: what was seen is kept in memory by the node that ran it, until it ends.</Nothing>}
      {found.error && !none && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={4} />}
      {run && !none && <Seen name={name} run={run} failed={failed} />}
      <SameBy path={`/v1/tests/${name}/browser${failed ? "?failed=true" : ""}`} cli={`holm test run ${name}`} />
    </div>
  );
}

function Seen({ name, run, failed }: { name: string; run: BrowserRun; failed: boolean }) {
  const picture = `/v1/tests/${encodeURIComponent(name)}/browser/screenshot?failed=${failed}`;
  return (
    <>
      <p className="visit-line"><State look={run.success ? GOOD : BAD} /> <span>{run.site}, <Time iso={run.observed_at} />, {millis(run.duration_ms)}, {plural(run.requests.length + run.requests_left_out, "request")}, {compact(run.bytes)}B</span></p>
      {run.error && <p className="notice tone-bad-soft" role="note">{run.error}</p>}
      <dl className="visit-vitals">
        {vitalsOf(run).map((vital) => <div key={vital.id} title={vital.means}><dt>{vital.word}</dt><dd className={vital.tone ? `tone-${vital.tone}` : "faint"}>{vital.text}</dd></div>)}
      </dl>
      <ol className="visit-steps">
        {run.steps.map((step, index) => <li key={index}><span className={step.error ? "tone-bad" : ""}>{step.name}</span> <span className="faint">{millis(step.duration_ms)}</span>{step.error && <span className="tone-bad"> {step.error}</span>}</li>)}
      </ol>
      <Waterfall requests={run.requests} />
      {run.requests_left_out > 0 && <p className="faint">{plural(run.requests_left_out, "more request")} after these.</p>}
      {run.console.length > 0 && <details><summary>{plural(run.console.length + run.console_left_out, "error")} that the page wrote</summary><ul className="mono visit-console">{run.console.map((line, index) => <li key={index}>{line}</li>)}</ul></details>}
      {run.has_screenshot ? <img className="visit-picture" src={picture} key={run.observed_at} alt={`The page at the end of the run of ${name}`} /> : <p className="faint">No picture{run.no_screenshot ? `: ${run.no_screenshot}` : ""}.</p>}
    </>
  );
}

function Waterfall({ requests }: { requests: readonly BrowserRequest[] }) {
  const length = lengthOf(requests);
  const columns: readonly Column<BrowserRequest>[] = [
    { id: "what", title: "Request", width: "minmax(180px, 1.6fr)", value: (row) => row.url, show: (row) => <span className="mono" title={`${row.method} ${row.url}`}>{row.url}</span> },
    { id: "kind", title: "Kind", width: "92px", value: (row) => row.kind, show: (row) => <span className="tag">{row.kind}</span> },
    { id: "result", title: "Result", width: "132px", value: (row) => resultOf(row).text, show: (row) => <span className={`tone-${resultOf(row).tone}`} title={resultOf(row).text}>{resultOf(row).text}</span> },
    { id: "bytes", title: "Bytes", width: "72px", numeric: true, value: (row) => row.bytes ?? null, show: (row) => (row.bytes === null || row.bytes === undefined ? NOT_MEASURED : compact(row.bytes)) },
    { id: "start", title: `0 to ${millis(length)}`, width: "minmax(200px, 2fr)", value: (row) => row.start_ms, show: (row) => <Bars row={row} length={length} /> },
  ];
  return <Table label="Requests of the page" columns={columns} rows={[...requests]} rowKey={(row) => `${requests.indexOf(row)}`} empty="It asked for nothing." maxRows={24} />;
}

function Bars({ row, length }: { row: BrowserRequest; length: number }) {
  const bar = barOf(row, length);
  const text = `begins after ${millis(row.start_ms)}, waits ${millis(row.wait_ms)}, receives for ${millis(row.receive_ms)}`;
  return (
    <svg className="visit-bars" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={text}>
      <title>{text}</title>
      <rect className={row.failed || row.blocked ? "bad" : "wait"} x={1000 * bar.start} width={Math.max(3, 1000 * bar.wait)} y={2} height={6} />
      <rect className="receive" x={1000 * (bar.start + bar.wait)} width={1000 * bar.receive} y={2} height={6} />
    </svg>
  );
}

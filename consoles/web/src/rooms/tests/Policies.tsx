// Tests that somebody made: how each stands at the sites that run it, its results over time, and its text.
import { useEffect, useState } from "react";
import { Link } from "@tanstack/react-router";

import { api, ApiError, isLoggedOut, nodeNow } from "../../api/client";
import { MOST_RESULTS, queryClient, useMe, useTest, useTestResults, useTests } from "../../api/queries";
import type { ProbeTest, ProbeTestSite, TestCheck, TestDetail, TestRun } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Button, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { millis, NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { hoursText, problemsIn, yaml } from "../alerts/alerts";
import { TextArea } from "../alerts/Editor";
import "../alerts/alerts.css";
import { Heat } from "./Heat";
import { Visit } from "./Visit";
import { Ways } from "./Ways";
import { history, HOURS, hoursOf, NEW_TEST, newTest, PART_WORDS, PROBE_KINDS, ratioText, sitesText, TEST_FIELDS, TEST_LOOKS, TEST_ORDER } from "./policies";

/** How long after the last key a text is looked at, in milliseconds. */
const CHECK_AFTER_MS = 350;
const [WIDE, TALL] = [720, 120];

const COLUMNS: readonly Column<ProbeTest>[] = [
  { id: "state", title: "State", width: "128px", value: (row) => `${TEST_ORDER.indexOf(row.state)} ${row.state}`, show: (row) => <State look={TEST_LOOKS[row.state]} /> },
  { id: "name", title: "Test", width: "minmax(120px, 1fr)", value: (row) => row.name, show: (row) => <Link to="." search={(search) => ({ ...search, test: row.name })} className="link" title={row.description ?? row.name}>{row.name}</Link> },
  { id: "probe", title: "Probe", width: "64px", value: (row) => row.probe ?? "", show: (row) => <span className="tag">{row.probe ?? NOT_MEASURED}</span> },
  { id: "target", title: "Target", width: "minmax(160px, 1.6fr)", value: (row) => row.target ?? "", show: (row) => <span className="mono" title={row.target ?? ""}>{row.target ?? NOT_MEASURED}</span> },
  { id: "sites", title: "Where", width: "minmax(140px, 1.4fr)", value: (row) => sitesText(row), show: (row) => <span title={sitesText(row)}>{sitesText(row)}</span> },
  { id: "every", title: "Every", width: "84px", numeric: true, value: (row) => row.interval_ms ?? null, show: (row) => millis(row.interval_ms) },
];

export function Policies() {
  const url = useUrl();
  const go = useSetUrl();
  const tests = useTests();
  const list = tests.data;
  const silent = list?.freshness.unreachable ?? [];
  const leftOut = Object.entries(list?.counters ?? {}).filter(([name, n]) => name.startsWith("left_out") && n > 0);
  return (
    <>
      {tests.error && !isLoggedOut(tests.error) && <Failure error={tests.error} again={() => void tests.refetch()} />}
      {tests.isPending && <Waiting rows={3} />}
      {list && (
        <>
          {url.at && <p className="notice" role="note">Tests are shown as they are now, not as they were at <Time iso={url.at} />.</p>}
          {silent.length > 0 && list.items.length > 0 && <p className="notice tone-warn-soft" role="note">Not heard now: {silent.join(", ")}. What is shown of them is what they said last.</p>}
          {leftOut.map(([name, n]) => <p key={name} className="notice tone-warn-soft" role="note">This node {name.replaceAll("_", " ")}: {plural(n, "run")}. The budgets are in its configuration, [planes.active].</p>)}
          <Section
            title="Tests" note={<>{plural(list.total, "test")}{list.items.length < list.total && `, showing ${list.items.length}`}</>}
            actions={<><Button icon="plus" onClick={() => go({ test: "+" })}>New test</Button><ExportMenu what="tests" at={new Date(nodeNow()).toISOString()} columns={COLUMNS} rows={list.items} /></>} flush
          >
            <Table label="Tests" columns={COLUMNS} rows={list.items} rowKey={(row) => row.name} onOpen={(row) => go({ test: row.name })} selected={(row) => row.name === url.test} empty="There are none yet: write one here, or holm test create FILE." />
          </Section>
        </>
      )}
      {url.test === "+" && <Section title="New test" actions={<Button icon="close" label="Close the test" onClick={() => go({ test: undefined })} />}><Text detail={null} onSaved={(name) => go({ test: name })} /></Section>}
      {url.test && url.test !== "+" && <One key={url.test} name={url.test} onClose={() => go({ test: undefined })} onSaved={(name) => go({ test: name })} />}
    </>
  );
}

function One({ name, onClose, onSaved }: { name: string; onClose: () => void; onSaved: (name: string | undefined) => void }) {
  const go = useSetUrl();
  const hours = hoursOf(useUrl().window);
  const found = useTest(name, hours);
  const detail = found.data;
  return (
    <Section title={`Test ${name}`} note={detail && <State look={TEST_LOOKS[detail.test.state]} />} actions={<Button icon="close" label="Close the test" onClick={onClose} />}>
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={6} />}
      {detail && (
        <div className="alert-one">
          <Facts detail={detail} />
          <label>over the last <select className="alert-ask" value={hours} onChange={(event) => go({ window: `${event.target.value}h` })}>{HOURS.map((each) => <option key={each} value={each}>{hoursText(each)}</option>)}</select></label>
          <Sites detail={detail} />
          <Chart name={name} hours={hours} />
          <Heat name={name} hours={hours} />
          {detail.test.probe === "browser" && <Visit name={name} />}
          <Ways name={name} />
          <Others detail={detail} />
          <Run detail={detail} />
          <Text key={detail.test.edited_at} detail={detail} onSaved={onSaved} />
          <SameBy path={`/v1/tests/${name}`} cli={`holm test show ${name}`} />
        </div>
      )}
    </Section>
  );
}

function Facts({ detail: { test } }: { detail: TestDetail }) {
  return (
    <dl className="alert-facts">
      {test.description && <div><dt>To know</dt><dd>{test.description}</dd></div>}
      {test.problem && <div><dt>Problem</dt><dd>{test.problem}</dd></div>}
      {test.stats && <div><dt>All sites</dt><dd>{ratioText(test.stats.success_ratio)} of {plural(test.stats.results, "result")}, {millis(test.stats.p50_ms)} in the middle, 95 of 100 within {millis(test.stats.p95_ms)}, 99 within {millis(test.stats.p99_ms)}</dd></div>}
      {test.conflicts.map((conflict) => <div key={`${conflict.by} ${conflict.at}`}><dt>Edited apart</dt><dd>{conflict.by} {conflict.removed ? "took it away" : "says something else"}, <Time iso={conflict.at} />; the next edit decides</dd></div>)}
      <div><dt>Edited</dt><dd>{test.edited_by}, <Time iso={test.edited_at} /></dd></div>
    </dl>
  );
}

const SITE_COLUMNS: readonly Column<ProbeTestSite>[] = [
  { id: "site", title: "Site", width: "minmax(110px, 1fr)", value: (row) => row.site },
  { id: "part", title: "Part", width: "96px", value: (row) => PART_WORDS[row.part] },
  { id: "state", title: "State", width: "128px", value: (row) => row.state, show: (row) => <State look={TEST_LOOKS[row.state]} quiet={row.part !== "runs"} /> },
  { id: "since", title: "Since", width: "96px", value: (row) => row.since ?? "", show: (row) => <Age iso={row.since} /> },
  { id: "good", title: "Good", width: "92px", numeric: true, value: (row) => row.stats?.success_ratio ?? null, show: (row) => ratioText(row.stats?.success_ratio) },
  { id: "p50", title: "Middle", width: "84px", numeric: true, value: (row) => row.stats?.p50_ms ?? null, show: (row) => millis(row.stats?.p50_ms) },
  { id: "p95", title: "95 of 100", width: "84px", numeric: true, value: (row) => row.stats?.p95_ms ?? null, show: (row) => millis(row.stats?.p95_ms) },
  { id: "last", title: "Last result", width: "96px", value: (row) => row.stats?.last_at ?? "", show: (row) => <Age iso={row.stats?.last_at} /> },
  { id: "error", title: "What was wrong", width: "minmax(160px, 2fr)", value: (row) => row.error ?? "", show: (row) => <span title={row.error ?? ""}>{row.error ?? NOT_MEASURED}</span> },
];

function Sites({ detail }: { detail: TestDetail }) {
  const missing = (detail.asked?.sites ?? []).filter((site) => site.state === "late" || site.state === "failed");
  return (
    <>
      <Table label="Sites of the test" columns={SITE_COLUMNS} rows={detail.test.sites} rowKey={(row) => `${row.site}/${row.node}`} empty="No site fits what it says in sites." />
      {missing.length > 0 && <p className="notice tone-warn-soft" role="note">Not in the numbers: {missing.map((site) => `${site.site} (${site.error ?? "late"})`).join(", ")}</p>}
    </>
  );
}

function Chart({ name, hours }: { name: string; hours: number }) {
  const found = useTestResults(name, hours);
  const page = found.data;
  if (found.error && !isLoggedOut(found.error)) return <Failure error={found.error} again={() => void found.refetch()} />;
  if (!page) return <Waiting rows={2} />;
  const picture = history(page, Date.parse(page.asked.from), Date.parse(page.asked.to), WIDE, TALL);
  const longest = picture.lines.some((line) => line.pieces.length > 0) ? `the longest ${millis(picture.most)}` : "none answered";
  const said = `${plural(page.items.length, "result")}, ${longest}, ${picture.failures.length === 0 ? "none failed" : `${picture.failures.length} failed`}`;
  return (
    <figure className="alert-chart">
      <figcaption>{said}{page.cut && `; only the latest ${MOST_RESULTS} are drawn`} <span className="faint"><Time iso={page.asked.from} /> to <Time iso={page.asked.to} />; {picture.lines.map((line) => line.site).join(", ")}</span></figcaption>
      <svg viewBox={`0 0 ${WIDE} ${TALL}`} role="img" aria-label={said} preserveAspectRatio="none">
        {picture.failures.map((failure, n) => <line key={n} className="test-failed" x1={failure.x} x2={failure.x} y1={0} y2={TALL}><title>{failure.site} failed</title></line>)}
        {picture.lines.map((line, n) => line.pieces.map((piece) => <polyline key={`${line.site} ${piece}`} className={`alert-line-of test-line-${n % 4}`} points={piece}><title>{line.site}</title></polyline>))}
      </svg>
      <details>
        <summary>As a table</summary>
        <Table
          label={`Results of ${name}`} rows={page.items} rowKey={(row) => `${row.site} ${row.observed_at} ${row.attributes["kind"] ?? ""}`} empty="None in this time."
          columns={[
            { id: "at", title: "At", width: "minmax(140px, 1fr)", value: (row) => row.observed_at, show: (row) => <Time iso={row.observed_at} /> },
            { id: "site", title: "Site", width: "110px", value: (row) => row.site },
            { id: "took", title: "Took", width: "96px", numeric: true, value: (row) => row.duration_ms ?? null, show: (row) => millis(row.duration_ms) },
            { id: "error", title: "What was wrong", width: "minmax(180px, 2fr)", value: (row) => row.error ?? "", show: (row) => row.error ?? NOT_MEASURED },
          ]}
        />
      </details>
    </figure>
  );
}

/** Who else sees this target failing. */
function Others({ detail: { others } }: { detail: TestDetail }) {
  if (others.length === 0) return <p className="faint">No other test looks at the same host.</p>;
  return (
    <Table
      label="Who else looks at the same host" rows={others} rowKey={(row) => `${row.test} ${row.site}`} empty=""
      columns={[
        { id: "state", title: "State", width: "128px", value: (row) => row.state, show: (row) => <State look={TEST_LOOKS[row.state]} /> },
        { id: "test", title: "Other test", width: "minmax(120px, 1fr)", value: (row) => row.test, show: (row) => <Link to="." search={(search) => ({ ...search, test: row.test })} className="link">{row.test}</Link> },
        { id: "site", title: "Site", width: "110px", value: (row) => row.site },
        { id: "error", title: "What was wrong", width: "minmax(160px, 2fr)", value: (row) => row.error ?? "", show: (row) => row.error ?? NOT_MEASURED },
      ]}
    />
  );
}

function Run({ detail: { test } }: { detail: TestDetail }) {
  const me = useMe();
  const [run, setRun] = useState<TestRun | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const runs = test.sites.filter((site) => site.part === "runs").map((site) => site.site).slice(0, 64);
  const start = () => {
    setBusy(true);
    setError(null);
    api.runTest(test.name, runs)
      .then(setRun)
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  if (me.data?.role === "viewer" || test.problem) return null;
  return (
    <>
      <div className="alert-buttons"><Button disabled={busy} onClick={start}>{busy ? "Running…" : runs.length > 0 ? "Run now, where it runs" : "Run now, here"}</Button></div>
      {error && !isLoggedOut(error) && <Failure error={error} again={start} />}
      {run && <ul aria-live="polite" aria-label="What running it once came to">{run.items.map((item) => <li key={item.site}>{item.site}: {item.error ?? (item.result?.success ? `answers in ${millis(item.result.duration_ms)}` : `fails: ${item.result?.error ?? "no answer"}`)}</li>)}</ul>}
    </>
  );
}

const textOf = (detail: TestDetail | null) => (detail ? yaml(detail.test.definition, TEST_FIELDS) : NEW_TEST);

/** The text of a test, with what is wrong marked while it is written, and where it would run. */
function Text({ detail, onSaved }: { detail: TestDetail | null; onSaved: (name: string | undefined) => void }) {
  const me = useMe();
  const [text, setText] = useState(() => textOf(detail));
  const [check, setCheck] = useState<TestCheck | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const [removing, setRemoving] = useState(false);
  const viewer = me.data?.role === "viewer";
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      // A check that fails says nothing of the text: what is saved is checked again.
      api.checkTests(text, stop.signal).then(setCheck).catch(() => setCheck(null));
    }, CHECK_AFTER_MS);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [text]);
  const problems = check?.problems ?? (error instanceof ApiError ? problemsIn(error.message) : []);
  const changed = text !== textOf(detail);
  const act = (work: () => Promise<string | undefined>) => {
    setBusy(true);
    setError(null);
    work()
      .then(async (saved) => { await queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => of === "tests" || of === "test" }); onSaved(saved); })
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  const would = check?.items.map((item) => `${item.name}: ${item.change}, ${item.runs_at.length > 0 ? `runs at ${item.runs_at.join(", ")}` : "no site runs it now"}`) ?? [];
  return (
    <div className="alert-one">
      {!detail && <label>probe <select className="alert-ask" value={PROBE_KINDS.find((kind) => newTest(kind) === text) ?? ""} onChange={(event) => { if (event.target.value) { setText(newTest(event.target.value)); setError(null); } }}><option value="">as written</option>{PROBE_KINDS.map((kind) => <option key={kind} value={kind}>{kind}</option>)}</select></label>}
      <TextArea label="The test, as YAML or JSON" text={text} problems={problems} onChange={(next) => { setText(next); setError(null); }} />
      {would.length > 0 && changed && <p className="faint" role="status">{would.join("; ")}</p>}
      <div className="alert-buttons">
        <button type="button" className="button" disabled={viewer || busy || (detail !== null && !changed) || (check?.problems.length ?? 1) > 0} onClick={() => act(async () => (await api.applyTests(text)).items.at(0)?.name)}>{detail ? "Save" : "Create"}</button>
        {changed && <Button onClick={() => setText(textOf(detail))}>Undo changes</Button>}
        {detail && !viewer && (removing
          ? <><span className="faint">Its results stay as long as rows do.</span><Button disabled={busy} onClick={() => act(async () => { await api.removeTest(detail.test.name); return undefined; })}>Take it away</Button><Button onClick={() => setRemoving(false)}>Keep it</Button></>
          : <Button disabled={busy} onClick={() => setRemoving(true)}>Delete…</Button>)}
        {viewer && <span className="faint">Your session is a viewer&rsquo;s: to change tests, get a link with `holm login-link --role editor`.</span>}
      </div>
      {error && !isLoggedOut(error) && <Failure error={error} />}
    </div>
  );
}

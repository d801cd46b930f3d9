// One rule: how it stands, its text with what is wrong marked while it is written, and how it would have been.
import { useEffect, useRef, useState } from "react";

import { api, ApiError, isLoggedOut, nodeNow } from "../../api/client";
import { queryClient, useAlertRule, useMe } from "../../api/queries";
import type { AlertCheck, AlertPreview, AlertProblem, AlertRuleDetail } from "../../api/types";
import { Button, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { hoursText, lines, NEW_RULE, offsetOf, PREVIEW_HOURS, previewText, problemsIn, RULE_LOOKS, yaml } from "./alerts";
import { Chart } from "./Chart";

/** How long after the last key it is looked at, in milliseconds. */
const CHECK_AFTER_MS = 350;

export function Editor({ name, onClose, onSaved }: { name: string | null; onClose: () => void; onSaved: (name: string | undefined) => void }) {
  const found = useAlertRule(name);
  if (name === null) return <Text detail={null} onClose={onClose} onSaved={onSaved} />;
  return (
    <>
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={6} />}
      {found.data && <Text detail={found.data} onClose={onClose} onSaved={onSaved} />}
    </>
  );
}

const textOf = (detail: AlertRuleDetail | null) => (detail?.rule ? yaml(detail.rule) : NEW_RULE);

function Text({ detail, onClose, onSaved }: { detail: AlertRuleDetail | null; onClose: () => void; onSaved: (name: string | undefined) => void }) {
  const me = useMe();
  const [text, setText] = useState(() => textOf(detail));
  const [check, setCheck] = useState<AlertCheck | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const [refused, setRefused] = useState<readonly AlertProblem[]>([]);
  const [removing, setRemoving] = useState(false);
  const viewer = me.data?.role === "viewer";
  const held = detail?.file ?? null;
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      // A check that fails says nothing of the text: what is saved is checked again.
      api.checkAlertRules(text, stop.signal).then(setCheck).catch(() => setCheck(null));
    }, CHECK_AFTER_MS);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [text]);
  const problems = check?.problems ?? refused;
  const changed = text !== textOf(detail);
  const done = () => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => String(of).startsWith("alert") });
  const run = (work: () => Promise<string | undefined>) => {
    setBusy(true);
    setError(null);
    work()
      .then(async (saved) => { await done(); onSaved(saved); })
      .catch((failed: unknown) => {
        const told = failed instanceof ApiError ? problemsIn(failed.message) : [];
        setRefused(told);
        setError(failed instanceof Error ? failed : new Error(String(failed)));
      })
      .finally(() => setBusy(false));
  };
  const save = () => run(async () => (await api.applyAlertRules(text)).items.at(0)?.name);
  const remove = () => run(async () => { await api.removeAlertRule(detail?.name ?? ""); return undefined; });
  return (
    <Section
      title={detail ? detail.title : "New rule"} note={detail && <span className="mono">{detail.name}</span>}
      actions={<Button icon="close" label="Close the rule" onClick={onClose} />}
    >
      <div className="alert-one">
        {detail && <Facts detail={detail} />}
        {held && <p className="notice" role="note">It is in the file {held}: change it there. What you write here is only previewed.</p>}
        <TextArea text={text} problems={problems} onChange={(next) => { setText(next); setRefused([]); setError(null); }} />
        {check && check.problems.length === 0 && check.warnings.length > 0 && (
          <p className="notice tone-warn-soft" role="note">This node cannot judge it, others may: {check.warnings.map((warning) => warning.text).join("; ")}</p>
        )}
        <div className="alert-buttons">
          <button type="button" className="button" disabled={viewer || held !== null || busy || !changed || (check?.problems.length ?? 1) > 0} onClick={save}>{detail ? "Save" : "Create"}</button>
          {changed && <Button onClick={() => setText(textOf(detail))}>Undo changes</Button>}
          {detail && !viewer && held === null && (removing
            ? <><span className="faint">What fires of it is over then.</span><Button disabled={busy} onClick={remove}>Take it away</Button><Button onClick={() => setRemoving(false)}>Keep it</Button></>
            : <Button disabled={busy} onClick={() => setRemoving(true)}>Delete…</Button>)}
          {viewer && <span className="faint">Your session is a viewer&rsquo;s: to change rules, get a link with `holm login-link --role editor`.</span>}
        </div>
        {error && !isLoggedOut(error) && <Failure error={error} />}
        <Past text={text} ready={(check?.problems.length ?? 1) === 0} />
        <SameBy path={detail ? `/v1/alerts/rules/${detail.name}` : "/v1/alerts/rules"} cli={detail ? `holm alert show ${detail.name}` : "holm alert apply -f FILE"} />
      </div>
    </Section>
  );
}

function Facts({ detail }: { detail: AlertRuleDetail }) {
  return (
    <dl className="alert-facts">
      <div><dt>State</dt><dd><State look={RULE_LOOKS[detail.state]} /></dd></div>
      {detail.description && <div><dt>To know</dt><dd>{detail.description}</dd></div>}
      {detail.problem && <div><dt>Problem</dt><dd>{detail.problem}</dd></div>}
      {detail.nodes.map((node) => (
        <div key={`${node.site}/${node.node}`}>
          <dt className="mono">{node.site}/{node.node}</dt>
          <dd><State look={RULE_LOOKS[node.state]} quiet /> {node.groups} groups, {node.firing} fire, {node.pending} hold <span className="faint">as of <Time iso={node.as_of} /></span>{node.problem && <span className="faint">: {node.problem}</span>}</dd>
        </div>
      ))}
      <div><dt>Edited</dt><dd>{detail.edited_by}, <Time iso={detail.edited_at} /></dd></div>
    </dl>
  );
}

/** The text; what is wrong is underlined behind it, with its line in the margin and its reason below. */
export function TextArea({ text, problems, onChange, label = "The rule, as YAML or JSON" }: { text: string; problems: readonly AlertProblem[]; onChange: (text: string) => void; label?: string }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const back = useRef<HTMLPreElement>(null);
  const all = lines(text, problems);
  const show = (problem: AlertProblem) => {
    const at = offsetOf(text, problem.line, problem.column);
    area.current?.focus();
    area.current?.setSelectionRange(at, at);
  };
  const scroll = () => {
    if (!area.current || !back.current) return;
    back.current.scrollTop = area.current.scrollTop;
    back.current.scrollLeft = area.current.scrollLeft;
  };
  return (
    <div className="alert-text">
      <div className="alert-layers">
        <pre ref={back} className="alert-back" aria-hidden="true">
          {all.map((line, n) => (
            <span key={n} className={line.problems.length > 0 ? "alert-line wrong" : "alert-line"} data-n={n + 1}>{line.before}{line.wrong && <mark>{line.wrong}</mark>}{"\n"}</span>
          ))}
        </pre>
        <textarea
          ref={area} className="alert-front" spellCheck={false} wrap="off" aria-label={label} aria-invalid={problems.length > 0} aria-describedby="alert-problems"
          rows={Math.min(24, Math.max(10, all.length + 1))} value={text} onScroll={scroll} onChange={(event) => onChange(event.target.value)}
        />
      </div>
      <ul id="alert-problems" className="alert-problems" aria-live="polite">
        {problems.map((problem) => (
          <li key={`${problem.line} ${problem.column} ${problem.text}`}>
            <button type="button" className="link" onClick={() => show(problem)}>line {problem.line}, column {problem.column}</button>: {problem.path && <span className="mono">{problem.path}: </span>}{problem.text}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** How the rule would have stood over rows of the past. */
function Past({ text, ready }: { text: string; ready: boolean }) {
  const [hours, setHours] = useState<number>(6);
  const [found, setFound] = useState<AlertPreview | null>(null);
  const [of, setOf] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const ask = () => {
    setBusy(true);
    setError(null);
    const to = nodeNow();
    api.previewAlertRule({ rule: text, from: new Date(to - hours * 3_600_000).toISOString(), to: new Date(to).toISOString() })
      .then((preview) => { setFound(preview); setOf(text); })
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  return (
    <div className="alert-past">
      <div className="alert-buttons">
        <button type="button" className="button" disabled={!ready || busy} onClick={ask}>{busy ? "Looking…" : "Preview"}</button>
        <label>over the last <select className="alert-ask" value={hours} onChange={(event) => setHours(Number(event.target.value))}>{PREVIEW_HOURS.map((each) => <option key={each} value={each}>{hoursText(each)}</option>)}</select></label>
        <span className="faint">{found ? previewText(found) : "how it would have stood, by the rows of this node"}{found && of !== text && "; the text has changed since"}</span>
      </div>
      {error && !isLoggedOut(error) && <Failure error={error} again={ask} />}
      {found?.problem && <p className="notice tone-warn-soft" role="note">{found.problem}</p>}
      {found && typeof found.warming_known === "number" && <p className="faint">What is usual is not known yet: {found.warming_known} of {found.warming_needed} earlier hours of this time.</p>}
      {found?.groups.map((group) => <Chart key={JSON.stringify(group.group)} preview={found} group={group} />)}
    </div>
  );
}

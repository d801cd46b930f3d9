// What the views of all sites come to, in words, with who saw it. Above everything else.
import type { MeshView, Verdict } from "../../api/types";
import { useSetUrl } from "../../frame/scope";
import { Section, Time } from "../../parts/basics";
import { plural, span } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { useNow } from "../../frame/clock";
import { about, inOrder, raisedText, VERDICT_LOOKS } from "./verdicts";

/** Most that are listed; in a mesh of thousands a split makes many. */
const MOST = 30;

export function Verdicts({ view, alone }: { view: MeshView; alone: boolean }) {
  const verdicts = inOrder(view.verdicts);
  const note = verdicts.length > 0 ? `from the views of ${plural(new Set(view.views.map((each) => each.site)).size, "site")}` : undefined;
  if (verdicts.length === 0) {
    return (
      <p className="notice verdict-none" role="status">
        <StateMark mark={alone ? "dash" : "disk"} tone={alone ? "unknown" : "ok"} />
        {alone ? "No verdict: there is no other site to reach." : <span>No site and no way is seen down{view.views.length < 2 && ", by this node alone: no other site has said what it sees"}.</span>}
      </p>
    );
  }
  return (
    <Section title="Verdicts" note={note}>
      <ul className="verdicts">
        {verdicts.slice(0, MOST).map((verdict) => <li key={`${verdict.kind} ${verdict.subject}`}><One verdict={verdict} /></li>)}
      </ul>
      {verdicts.length > MOST && <p className="faint">and {verdicts.length - MOST} more; the API has all.</p>}
    </Section>
  );
}

function One({ verdict }: { verdict: Verdict }) {
  const now = useNow();
  const look = VERDICT_LOOKS[verdict.kind];
  return (
    <article className={`verdict tone-${look.tone}-soft`} aria-label={`${look.word}: ${verdict.subject}`}>
      <StateMark mark={look.mark} tone={look.tone} />
      <div>
        <p><strong title={look.means}>{look.word}</strong>{about(verdict).map((site, n) => <span key={site}>{n > 0 ? " –" : ""} <Site name={site} /></span>)} <span className="dim">· {verdict.severity} · for {span(now - Date.parse(verdict.since))}, since <Time iso={verdict.since} /> · {raisedText(verdict)}</span></p>
        <p>{verdict.text}</p>
        <p className="dim">seen from {verdict.witnesses.map((site, n) => <span key={site}>{n > 0 ? ", " : ""}<Site name={site} /></span>)}{verdict.reached_by.length > 0 && <>; reached all the same by {verdict.reached_by.map((site, n) => <span key={site}>{n > 0 ? ", " : ""}<Site name={site} /></span>)}</>}</p>
      </div>
    </article>
  );
}

function Site({ name }: { name: string }) {
  const setUrl = useSetUrl();
  return <button type="button" className="link-button" onClick={() => setUrl({ focus: name }, true)}>{name}</button>;
}

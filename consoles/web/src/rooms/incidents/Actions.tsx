// What can be done to an incident, each with what it means; a viewer sees why not.
import { useState } from "react";

import { api, isLoggedOut, type IncidentAct, type IncidentVerb } from "../../api/client";
import { queryClient, useMe } from "../../api/queries";
import type { Incident, IncidentDetail } from "../../api/types";
import { Button, Failure } from "../../parts/basics";
import { splittable } from "./incidents";

const SIMPLE: readonly { verb: IncidentVerb; label: string; means: string; when: (state: Incident["state"]) => boolean }[] = [
  { verb: "ack", label: "Acknowledge", means: "say that you look at it", when: (state) => state === "open" || state === "reopened" },
  { verb: "mitigate", label: "Mitigated", means: "its effect is over, its cause is not", when: (state) => state !== "mitigated" && state !== "resolved" },
  { verb: "resolve", label: "Resolve", means: "it is over; what is raised later opens it again", when: (state) => state !== "resolved" },
  { verb: "reopen", label: "Re-open", means: "it is not over", when: (state) => state === "resolved" || state === "mitigated" },
];

type Form = "note" | "assign" | "grade" | "split" | "join";
const FORMS: readonly { form: Form; label: string }[] = [
  { form: "note", label: "Note…" }, { form: "assign", label: "Owner…" }, { form: "grade", label: "Severity…" }, { form: "split", label: "Split…" }, { form: "join", label: "Join…" },
];

export function Actions({ detail }: { detail: IncidentDetail }) {
  const me = useMe();
  const [form, setForm] = useState<Form | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const { incident } = detail;
  const act = (verb: IncidentVerb, body: IncidentAct) => {
    setBusy(true);
    setError(null);
    api.incidentAct(incident.id, verb, body)
      .then(() => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => of === "incidents" || of === "incident" }))
      .then(() => setForm(null))
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  if (me.data?.role === "viewer") return <p className="faint">Your session is a viewer&rsquo;s: to act on incidents, get a link with `holm login-link --role editor`.</p>;
  const parts = splittable(detail);
  return (
    <div className="incident-actions">
      <div className="incident-buttons" role="group" aria-label="Actions">
        {SIMPLE.filter(({ when }) => when(incident.state)).map(({ verb, label, means }) => <span key={verb} title={means}><Button disabled={busy} onClick={() => act(verb, {})}>{label}</Button></span>)}
        {FORMS.filter((each) => each.form !== "split" || parts.length > 0).map((each) => <Button key={each.form} pressed={form === each.form} disabled={busy} onClick={() => setForm(form === each.form ? null : each.form)}>{each.label}</Button>)}
      </div>
      {form && <ActionForm key={form} form={form} parts={parts} incident={incident} busy={busy} onAct={act} />}
      {error && !isLoggedOut(error) && <Failure error={error} />}
    </div>
  );
}

const SAYS: Record<Form, string> = {
  note: "Stands in the timeline at every site.",
  assign: "Empty for nobody.",
  grade: "As grave as you say, whatever planes say.",
  split: "The chosen faults become an incident of their own, and what is reported of them later follows them. Joining them again undoes it.",
  join: "Both become one under the id of the older one. Splitting undoes it.",
};

function ActionForm({ form, parts, incident, busy, onAct }: {
  form: Form; parts: { fault: string; about: string }[]; incident: Incident; busy: boolean; onAct: (verb: IncidentVerb, body: IncidentAct) => void;
}) {
  const [text, setText] = useState("");
  const [value, setValue] = useState(form === "assign" ? (incident.owner ?? "") : form === "grade" ? incident.severity : "");
  const [faults, setFaults] = useState<readonly string[]>([]);
  const ready = form === "note" ? text.trim() !== "" : form === "split" ? faults.length > 0 : form === "join" ? value.trim() !== "" : true;
  const send = () => {
    const said = text.trim() ? { text: text.trim() } : {};
    if (form === "note") onAct("note", said);
    else if (form === "assign") onAct("assign", { ...said, owner: value.trim() || null });
    else if (form === "grade") onAct("grade", { ...said, severity: value as Incident["severity"] });
    else if (form === "split") onAct("split", { ...said, faults: [...faults] });
    else onAct("join", { ...said, with: value.trim() });
  };
  return (
    <form className="incident-form" onSubmit={(event) => { event.preventDefault(); if (ready && !busy) send(); }}>
      {form === "assign" && <label>Owner <input className="field" value={value} maxLength={200} onChange={(event) => setValue(event.target.value)} /></label>}
      {form === "grade" && <label>Severity <select className="field" value={value} onChange={(event) => setValue(event.target.value)}><option value="info">info</option><option value="warning">warning</option><option value="critical">critical</option></select></label>}
      {form === "join" && <label>With incident <input className="field mono" value={value} placeholder="i-…" onChange={(event) => setValue(event.target.value)} /></label>}
      {form === "split" && (
        <fieldset>
          <legend>Faults to split off</legend>
          {parts.map(({ fault, about }) => (
            <label key={fault}><input type="checkbox" checked={faults.includes(fault)} onChange={() => setFaults(faults.includes(fault) ? faults.filter((each) => each !== fault) : [...faults, fault])} /> {about} <span className="faint mono">{fault}</span></label>
          ))}
        </fieldset>
      )}
      <label>{form === "note" ? "Note" : "Why (may be empty)"} <textarea className="field" rows={form === "note" ? 3 : 1} maxLength={4000} value={text} onChange={(event) => setText(event.target.value)} /></label>
      <p className="faint">{SAYS[form]}</p>
      <button type="submit" className="button" disabled={!ready || busy}>{FORMS.find((each) => each.form === form)?.label.replace("…", "")}</button>
    </form>
  );
}

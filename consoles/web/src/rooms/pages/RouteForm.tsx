// A route: which incidents are told by which connectors.
import { useState } from "react";

import { api, isLoggedOut } from "../../api/client";
import type { PageRoute } from "../../api/types";
import { Button, Failure, Section } from "../../parts/basics";
import { errorOf, stalePaging } from "./ConnectorForm";
import { routeAskedOf, routeDraftOf, type RouteDraft } from "./pages";

const LISTS: readonly { field: "sites" | "targets" | "planes" | "kinds"; label: string; hint: string }[] = [
  { field: "sites", label: "Reported by sites", hint: "any" }, { field: "targets", label: "About", hint: "anything; service:checkout*, host:10.0.*" },
  { field: "planes", label: "From planes", hint: "any" }, { field: "kinds", label: "Of kinds", hint: "any; http_failed" },
];

export function RouteForm({ route, connectors, onClose }: { route?: PageRoute | undefined; connectors: readonly string[]; onClose: () => void }) {
  const [draft, setDraft] = useState<RouteDraft>(() => routeDraftOf(route));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const set = (change: Partial<RouteDraft>) => setDraft({ ...draft, ...change });
  const asked = routeAskedOf(draft);
  const work = (what: Promise<unknown>) => {
    setBusy(true);
    setError(null);
    what.then(stalePaging).then(onClose).catch((failed: unknown) => setError(errorOf(failed))).finally(() => setBusy(false));
  };
  const names = [...new Set([...connectors, ...draft.connectors])].sort();
  return (
    <Section title={route ? `Route ${route.name}` : "A new route"} actions={<Button icon="close" label="Close the form" onClick={onClose} />}>
      <form className="page-form" onSubmit={(event) => { event.preventDefault(); if (!busy && typeof asked !== "string") work(api.putPageRoute(draft.name.trim(), asked)); }}>
        {!route && <label>Name<input className="field" value={draft.name} placeholder="critical" onChange={(event) => set({ name: event.target.value })} /></label>}
        <label>Severity<select className="field" value={draft.severity} onChange={(event) => set({ severity: event.target.value as RouteDraft["severity"] })}><option value="critical">critical</option><option value="warning">warning and graver</option><option value="info">info and graver</option></select></label>
        {LISTS.map(({ field, label, hint }) => <label key={field}>{label}<input className="field" value={draft[field]} placeholder={hint} onChange={(event) => set({ [field]: event.target.value })} /></label>)}
        <label>After<input className="field" value={draft.after} placeholder="at once; 5m" onChange={(event) => set({ after: event.target.value })} /></label>
        <label>Again after, while nobody looks at it<input className="field" value={draft.repeat} placeholder="never; 30m" onChange={(event) => set({ repeat: event.target.value })} /></label>
        <fieldset>
          <legend>Tells</legend>
          {names.map((name) => (
            <label key={name} className="page-check"><input type="checkbox" checked={draft.connectors.includes(name)} onChange={() => set({ connectors: draft.connectors.includes(name) ? draft.connectors.filter((each) => each !== name) : [...draft.connectors, name] })} /> {name}</label>
          ))}
          {names.length === 0 && <span className="faint">There is no connector yet.</span>}
        </fieldset>
        <label className="page-check"><input type="checkbox" checked={draft.resolve} onChange={(event) => set({ resolve: event.target.checked })} /> Tell the end, too</label>
        <label className="page-check"><input type="checkbox" checked={draft.paused} onChange={(event) => set({ paused: event.target.checked })} /> Paused: it counts for nothing</label>
        {typeof asked === "string" && <p className="faint">{asked}.</p>}
        <div className="page-buttons">
          <button type="submit" className="button" disabled={busy || typeof asked === "string" || draft.name.trim() === ""}>Write</button>
          {route && <Button disabled={busy} onClick={() => work(api.removePageRoute(route.name))}>Take away</Button>}
        </div>
      </form>
      {error && !isLoggedOut(error) && <Failure error={error} />}
    </Section>
  );
}

// A connector, written or tried out. Its secrets go in and never come out.
import { useState, type ReactNode } from "react";

import { api, isLoggedOut } from "../../api/client";
import { queryClient } from "../../api/queries";
import type { PageConnector, PageTestResult } from "../../api/types";
import { Button, Copy, Failure, Section } from "../../parts/basics";
import { askedOf, draftOf, FIELD_LABELS, PROVIDERS, type ConnectorDraft, type Provider } from "./pages";

export const stalePaging = () => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => typeof of === "string" && of.startsWith("page-") });
export const errorOf = (failed: unknown): Error => (failed instanceof Error ? failed : new Error(String(failed)));

export function ConnectorForm({ connector, onClose }: { connector?: PageConnector | undefined; onClose: () => void }) {
  const [draft, setDraft] = useState<ConnectorDraft>(() => draftOf(connector));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const [tested, setTested] = useState<PageTestResult | null>(null);
  const form = PROVIDERS[draft.provider];
  const set = (change: Partial<ConnectorDraft>) => setDraft({ ...draft, ...change });
  const work = (what: Promise<unknown>, done?: () => void) => {
    setBusy(true);
    setError(null);
    what.then(stalePaging).then(done).catch((failed: unknown) => setError(errorOf(failed))).finally(() => setBusy(false));
  };
  const text = (label: string, value: string, onValue: (value: string) => void, more: { hint?: string; secret?: boolean; area?: boolean } = {}): ReactNode => (
    <label>
      {label}
      {more.area
        ? <textarea className="field mono" rows={3} value={value} placeholder={more.hint} onChange={(event) => onValue(event.target.value)} />
        : <input className="field" type={more.secret ? "password" : "text"} autoComplete="off" value={value} placeholder={more.hint} onChange={(event) => onValue(event.target.value)} />}
    </label>
  );
  return (
    <Section title={connector ? `Connector ${connector.name}` : "A new connector"} actions={<Button icon="close" label="Close the form" onClick={onClose} />}>
      <form className="page-form" onSubmit={(event) => { event.preventDefault(); if (!busy) work(api.putPageConnector(draft.name.trim(), askedOf(draft)), onClose); }}>
        {!connector && text("Name", draft.name, (name) => set({ name }), { hint: "oncall" })}
        {!connector && (
          <label>Provider
            <select className="field" value={draft.provider} onChange={(event) => set({ provider: event.target.value as Provider })}>
              {(Object.keys(PROVIDERS) as Provider[]).map((each) => <option key={each} value={each}>{PROVIDERS[each].label}</option>)}
            </select>
          </label>
        )}
        {form.fields.map((field) => <div key={field}>{text(FIELD_LABELS[field].label, draft.texts[field] ?? "", (value) => set({ texts: { ...draft.texts, [field]: value } }), { hint: FIELD_LABELS[field].hint })}</div>)}
        {draft.provider === "email" && text("To", draft.to, (to) => set({ to }), { hint: "ada@example.org, bob@example.org" })}
        {draft.provider === "email" && <label>Encrypted<select className="field" value={draft.tls} onChange={(event) => set({ tls: event.target.value === "implicit" ? "implicit" : "starttls" })}><option value="starttls">by STARTTLS, or not sent</option><option value="implicit">from the first byte</option></select></label>}
        {draft.provider === "jira" && <label>Kind<select className="field" value={draft.api} onChange={(event) => set({ api: event.target.value === "2" ? 2 : 3 })}><option value="3">Cloud</option><option value="2">Data Center</option></select></label>}
        {text(`Secret: ${form.secret}`, draft.secret, (secret) => set({ secret }), { secret: true, hint: connector?.secret_set ? "stays as it is" : "" })}
        {form.hears && text("Secret of inbound webhooks, at least 16 bytes", draft.inbound, (inbound) => set({ inbound }), { secret: true, hint: connector?.inbound_secret_set ? "stays as it is" : "none: it does not hear" })}
        {text("Only these sites deliver", draft.sites, (sites) => set({ sites }), { hint: "all that have the tenant" })}
        {text("Pages a minute", draft.pagesAMinute, (pagesAMinute) => set({ pagesAMinute }), { hint: "30" })}
        {text("Requests an hour", draft.attemptsAnHour, (attemptsAnHour) => set({ attemptsAnHour }), { hint: "1200" })}
        {text("Given up after hours", draft.giveUpAfterH, (giveUpAfterH) => set({ giveUpAfterH }), { hint: "24" })}
        {text("A root certificate beside the system's (PEM)", draft.ca, (ca) => set({ ca }), { area: true, hint: "-----BEGIN CERTIFICATE-----" })}
        <label className="page-check"><input type="checkbox" checked={draft.paused} onChange={(event) => set({ paused: event.target.checked })} /> Paused: what is queued waits</label>
        <div className="page-buttons">
          <button type="submit" className="button" disabled={busy || draft.name.trim() === ""}>Write</button>
          {connector && <Button disabled={busy} onClick={() => { setTested(null); work(api.testPageConnector(connector.name).then(setTested)); }}>Send a test page</Button>}
          {connector && <Button disabled={busy} onClick={() => work(api.removePageConnector(connector.name), onClose)}>Take away</Button>}
        </div>
      </form>
      {connector?.inbound_path && <p className="faint">It hears at <code>{connector.inbound_path}</code> of any node <Copy text={`${location.origin}${connector.inbound_path}`} label="Copy the address" /></p>}
      {tested && <p role="status" className={tested.accepted ? "" : "notice tone-warn-soft"}>{tested.accepted ? "The provider took the test page." : tested.reason}</p>}
      {error && !isLoggedOut(error) && <Failure error={error} />}
    </Section>
  );
}

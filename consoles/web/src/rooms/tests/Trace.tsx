// A name from the root servers down to who answers, as this node follows it now.
import { useState } from "react";

import { api, isLoggedOut } from "../../api/client";
import { useMe } from "../../api/queries";
import type { DnsStep, DnsTrace } from "../../api/types";
import { Failure, SameBy, Section } from "../../parts/basics";
import { millis, NOT_MEASURED, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { endText, stepText } from "./posture";

const TYPES = ["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "SRV", "CAA", "PTR", "DS", "DNSKEY"] as const;

const COLUMNS: readonly Column<DnsStep>[] = [
  { id: "zone", title: "Zone", width: "minmax(100px, 1fr)", value: (row) => row.zone, show: (row) => <span className="mono">{row.zone}</span> },
  { id: "server", title: "Server", width: "minmax(140px, 1.2fr)", value: (row) => row.server ?? "", show: (row) => <span title={row.address ?? ""}>{row.server ?? row.address ?? NOT_MEASURED}</span> },
  { id: "took", title: "Took", width: "84px", numeric: true, value: (row) => row.duration_ms ?? null, show: (row) => millis(row.duration_ms) },
  { id: "said", title: "What it said", width: "minmax(220px, 3fr)", value: (row) => stepText(row), show: (row) => <span title={stepText(row)}>{stepText(row)}</span> },
];

export function Trace() {
  const me = useMe();
  const [name, setName] = useState("");
  const [type, setType] = useState<string>("A");
  const [trace, setTrace] = useState<DnsTrace | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const start = () => {
    setBusy(true);
    setError(null);
    api.dnsTrace(name.trim(), type)
      .then(setTrace)
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  const viewer = me.data?.role === "viewer";
  return (
    <Section title="A name from the roots" note="each referral from the root servers down, asked by this node now">
      <form className="alert-buttons" onSubmit={(event) => { event.preventDefault(); if (!busy && !viewer && name.trim()) start(); }}>
        <label>name <input className="alert-ask" value={name} placeholder="shop.example" onChange={(event) => setName(event.target.value)} /></label>
        <label>type <select className="alert-ask" value={type} onChange={(event) => setType(event.target.value)}>{TYPES.map((each) => <option key={each} value={each}>{each}</option>)}</select></label>
        <button type="submit" className="button" disabled={busy || viewer || !name.trim()}>{busy ? "Asking…" : "Follow it"}</button>
        {viewer && <span className="faint">Your session is a viewer&rsquo;s: to send questions, get a link with `holm login-link --role editor`.</span>}
      </form>
      {error && !isLoggedOut(error) && <Failure error={error} again={start} />}
      {trace && (
        <>
          <p role="status">{endText(trace)} <span className="faint">{plural(trace.steps.length, "question")} from {trace.site}</span></p>
          <Table label="Steps of the trace" columns={COLUMNS} rows={trace.steps.map((step, n) => ({ ...step, n }))} rowKey={(row) => String((row as DnsStep & { n: number }).n)} empty="Nobody was asked." />
        </>
      )}
      <SameBy path="/v1/dns/trace" body={{ name: name.trim() || "NAME", type }} cli={`holm dns trace ${name.trim() || "NAME"} --type ${type}`} />
    </Section>
  );
}

// TLS posture: how the servers that are probed do TLS, as all sites saw it last, and what to do about it.
import { useMemo, useState } from "react";

import { isLoggedOut, nodeNow } from "../../api/client";
import { useTlsPosture } from "../../api/queries";
import type { TlsEndpoint, TlsPosture } from "../../api/types";
import { inScope, useUrl } from "../../frame/scope";
import { Age, Button, Failure, SameBy, Section, State, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { daysLeft, daysText, factsOf, look, POSTURE_LOOKS, sitesOf, versionsText } from "./posture";

const WORST = ["critical", "warning", "info", "none"] as const;

const COLUMNS: readonly Column<TlsEndpoint>[] = [
  { id: "severity", title: "State", width: "120px", value: (row) => `${WORST.indexOf(row.severity ?? "none")} ${row.severity ?? "none"}`, show: (row) => <State look={look(row)} /> },
  { id: "endpoint", title: "Server", width: "minmax(160px, 1.2fr)", value: (row) => row.endpoint, show: (row) => <span className="mono" title={row.endpoint}>{row.endpoint}</span> },
  { id: "days", title: "Ends in", width: "104px", numeric: true, value: (row) => daysLeft(row), show: (row) => daysText(daysLeft(row)) },
  { id: "versions", title: "Takes TLS", width: "104px", value: (row) => versionsText(row) },
  { id: "sites", title: "Seen from", width: "minmax(110px, 1fr)", value: (row) => sitesOf(row).join(", ") },
  { id: "findings", title: "What is wrong", width: "minmax(220px, 2.4fr)", value: (row) => row.findings.map((finding) => finding.text).join("; "), show: (row) => <Wrong row={row} /> },
];

function Wrong({ row }: { row: TlsEndpoint }) {
  const text = row.findings.map((finding) => finding.text).join("; ");
  return <span className={text ? "" : "faint"} title={text}>{text || NOT_MEASURED}</span>;
}

export function Posture() {
  const found = useTlsPosture();
  const posture = found.data;
  return (
    <>
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={2} />}
      {posture && <Servers posture={posture} />}
    </>
  );
}

function Servers({ posture }: { posture: TlsPosture }) {
  const url = useUrl();
  const [chosen, setChosen] = useState<string | null>(null);
  const rows = useMemo(() => {
    const within = inScope(url);
    return posture.items.filter((item) => item.sights.some((sight) => within(sight.site)));
  }, [posture, url]);
  const one = rows.find((row) => row.endpoint === chosen);
  const missing = posture.asked.sites.filter((site) => site.state === "late" || site.state === "failed");
  const counts = WORST.filter((each) => (posture.severities[each] ?? 0) > 0).map((each) => `${posture.severities[each] ?? 0} ${POSTURE_LOOKS[each].word}`);
  return (
    <Section
      title="TLS posture"
      note={<>{plural(posture.total, "server")}{counts.length > 0 && `: ${counts.join(", ")}`}{posture.total > posture.items.length && `; showing ${posture.items.length}`}</>}
      actions={<ExportMenu what="tls-posture" at={new Date(nodeNow()).toISOString()} columns={COLUMNS} rows={rows} />}
    >
      {missing.length > 0 && <p className="notice tone-warn-soft" role="note">Not in it: {missing.map((site) => `${site.site} (${site.error ?? "late"})`).join(", ")}</p>}
      {posture.cut && <p className="notice tone-warn-soft" role="note">More was probed than can be looked at: only the latest results are here.</p>}
      <Table label="TLS posture" columns={COLUMNS} rows={rows} rowKey={(row) => row.endpoint} onOpen={(row) => setChosen(row.endpoint === chosen ? null : row.endpoint)} selected={(row) => row.endpoint === chosen} empty="No server was seen over TLS in the last day: a test with probe: tls looks at one." />
      {one && <One item={one} onClose={() => setChosen(null)} />}
      <SameBy path="/v1/tls/posture" cli="holm tls posture" />
    </Section>
  );
}

function One({ item, onClose }: { item: TlsEndpoint; onClose: () => void }) {
  return (
    <div className="alert-one posture-one">
      <div className="alert-buttons"><strong className="mono">{item.endpoint}</strong><State look={look(item)} /><Button icon="close" label="Close the server" onClick={onClose} /></div>
      {item.findings.length === 0 && <p className="faint">Nothing is wrong with what was seen.</p>}
      {item.findings.map((finding) => (
        <p key={finding.kind}><State look={POSTURE_LOOKS[finding.severity]} /> {finding.text}. <span className="dim">{finding.remedy}.</span> <span className="faint">Seen from {finding.sites.join(", ")}.</span></p>
      ))}
      {item.differs && <p className="notice tone-warn-soft" role="note">Sites see different certificates: several servers share the name, or somebody stands between.</p>}
      {item.sights.map((sight) => (
        <details key={`${sight.site} ${sight.probe} ${sight.target} ${sight.test ?? ""}`}>
          <summary>{sight.site}, {sight.probe} {sight.test ?? sight.target}, <Age iso={sight.observed_at} /></summary>
          <dl className="alert-facts">{factsOf(sight).map(([name, value]) => <div key={name}><dt>{name}</dt><dd className="mono">{value}</dd></div>)}</dl>
        </details>
      ))}
    </div>
  );
}

// Who exports flows, and how it does: when it was heard, what was lost, what is waited for, and what to do.
import { useMemo, useState } from "react";

import { flowPath, isLoggedOut } from "../../api/client";
import { useFlowExporters } from "../../api/queries";
import type { FlowExporter, FlowExporters } from "../../api/types";
import { useKeys } from "../../frame/keys";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, Button, Failure, Nothing, SameBy, Section, State, Toned, Waiting } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Standing, Windows } from "./Explore";
import { exporterLook, USUAL_WINDOW } from "./flows";

const lost = (row: FlowExporter) => (row.counters["lost_datagrams"] ?? 0) + (row.counters["lost_records"] ?? 0);
const nameOf = (row: FlowExporter) => row.name ?? row.address;

const COLUMNS: readonly Column<FlowExporter>[] = [
  { id: "state", title: "State", width: "96px", value: (row) => row.state, show: (row) => <State look={exporterLook(row.state)} /> },
  { id: "exporter", title: "Exporter", width: "minmax(150px, 1fr)", value: nameOf, show: (row) => <span title={`${row.address}, port ${row.port}`}>{row.name ? <>{row.name} <span className="faint mono">{row.address}</span></> : <span className="mono">{row.address}</span>}<span className="faint">:{row.port}</span></span> },
  { id: "site", title: "At site", width: "minmax(72px, 0.5fr)", value: (row) => row.site },
  { id: "heard", title: "Heard", width: "112px", value: (row) => row.heard, show: (row) => <Age iso={row.heard} /> },
  { id: "flows", title: "Flows", width: "100px", numeric: true, value: (row) => row.counters["flows"] ?? 0, show: (row) => count(row.counters["flows"] ?? 0) },
  { id: "datagrams", title: "Datagrams", width: "104px", numeric: true, value: (row) => row.counters["datagrams"] ?? 0, show: (row) => count(row.counters["datagrams"] ?? 0) },
  { id: "lost", title: "Lost", width: "72px", numeric: true, value: lost, show: (row) => <Toned tone={lost(row) > 0 ? "bad" : "ok"}>{count(lost(row))}</Toned> },
  { id: "templates", title: "Templates", width: "84px", numeric: true, value: (row) => row.templates, show: (row) => <span title={row.templates_waiting > 0 ? `${row.templates_waiting} were waited for` : undefined}>{row.templates}{row.templates_waiting > 0 && <span className="faint"> +{row.templates_waiting}</span>}</span> },
  { id: "reasons", title: "Why, and what to do", width: "minmax(200px, 2.6fr)", value: (row) => row.reasons.join("; "), show: (row) => <span title={row.reasons.join("\n")}>{row.reasons.join("; ")}</span> },
];

export function Exporters({ off }: { off: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const query = { window: url.window ?? USUAL_WINDOW, to: url.at, site: url.site };
  const answer = useFlowExporters(query);
  const again = () => void answer.refetch();
  useKeys({ r: again });
  return (
    <>
      <div className="flow-controls">
        <Windows value={query.window} onValue={(next) => setUrl({ window: next === USUAL_WINDOW ? undefined : next })} />
        <span className="grow" />
        <Button icon="again" label={answer.isFetching ? "Asking" : "Ask again"} shortcut="r" disabled={answer.isFetching} onClick={again} />
      </div>
      {answer.error && !isLoggedOut(answer.error) && <Failure error={answer.error} again={again} />}
      {answer.isPending && <Waiting rows={6} />}
      {answer.data && <Standing stands={answer.data.stands_on} off={off} onAgain={again} />}
      {answer.data && <Heard answer={answer.data} />}
      <SameBy path={flowPath("/exporters", query)} />
    </>
  );
}

function Heard({ answer }: { answer: FlowExporters }) {
  const [open, setOpen] = useState<string | null>(null);
  const key = (row: FlowExporter) => `${row.site} ${row.address} ${row.port}`;
  const rows = useMemo(() => [...answer.items].sort((a, b) => Number(a.state === "ok") - Number(b.state === "ok")), [answer]);
  const chosen = rows.find((row) => key(row) === open);
  useKeys({ Escape: () => setOpen(null) });
  const bad = rows.filter((row) => row.state !== "ok").length;
  return (
    <>
      <Section title="Collectors" note="what listens at each site, as it said last">
        <ul className="flow-collectors">
          {answer.collectors.map((each) => (
            <li key={each.site}>
              <StateMark mark={each.running ? "disk" : "clock"} tone={each.running ? "ok" : "warn"} />
              <span>{each.site}</span>
              <span className="faint">{each.running ? "collects" : "said nothing of late"}, heard <Age iso={each.heard} /></span>
              {each.kernel_drops > 0 && <span className="tone-bad">{plural(each.kernel_drops, "datagram")} dropped by its kernel: it receives more than it reads</span>}
            </li>
          ))}
          {answer.stands_on.sites.filter((site) => site.state === "answered" && !answer.collectors.some((each) => each.site === site.site)).map((site) => (
            <li key={site.site}><StateMark mark="slash" tone="unknown" /> <span>{site.site}</span> <span className="faint">no collector said anything in this window: its flow plane is off</span></li>
          ))}
        </ul>
      </Section>
      <Section title="Exporters" note={rows.length === 0 ? undefined : bad > 0 ? `${bad} of ${plural(rows.length, "exporter")} not well` : `${plural(rows.length, "exporter")}, all well`} actions={<ExportMenu what="flow-exporters" at={answer.stands_on.to} columns={COLUMNS} rows={rows} />} flush>
        {rows.length === 0
          ? <Nothing title="No exporter was heard">Point NetFlow, IPFIX or sFlow of a router at a site whose collector runs; docs/flow.md has the ports.</Nothing>
          : <Table label="Exporters" columns={COLUMNS} rows={rows} rowKey={key} onOpen={(row) => setOpen(key(row) === open ? null : key(row))} selected={(row) => key(row) === open} empty="" maxRows={12} />}
      </Section>
      {chosen && (
        <Section title={`${nameOf(chosen)}:${chosen.port} at ${chosen.site}`} note="counted in the window; docs/flow.md says what each counter means" actions={<Button icon="close" label="Close" shortcut="Esc" onClick={() => setOpen(null)} />}>
          {chosen.reasons.length > 0 && <ul className="flow-reasons">{chosen.reasons.map((reason) => <li key={reason}><State look={{ ...exporterLook(chosen.state), word: "" }} /> {reason}</li>)}</ul>}
          <dl className="counters">{Object.entries(chosen.counters).sort(([a], [b]) => a.localeCompare(b)).map(([name, value]) => <div key={name}><dt>{name.replaceAll("_", " ")}</dt><dd>{count(value)}</dd></div>)}</dl>
        </Section>
      )}
    </>
  );
}

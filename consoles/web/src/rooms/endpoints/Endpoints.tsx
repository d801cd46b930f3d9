// Endpoints: laptops and branch devices as any site heard them last, and which part of their way is to blame.
import { isLoggedOut, nodeNow } from "../../api/client";
import { useEndpoint, useEndpoints } from "../../api/queries";
import type { Endpoint, EndpointDetail, EndpointMoment } from "../../api/types";
import { inScope, useSetUrl, useUrl } from "../../frame/scope";
import { Age, Button, Failure, SameBy, Section, State, Time, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { ATTRIBUTION_LOOKS, attributionLook, factsOf, isBlamed, LAYER_LOOKS, liveLook, orderOf, PART_WORDS, summary, sureText } from "./endpoints";
import "./endpoints.css";

const COLUMNS: readonly Column<Endpoint>[] = [
  { id: "attribution", title: "To blame", width: "120px", value: (row) => `${orderOf(row)} ${row.attribution ?? "not heard"}`, show: (row) => <State look={attributionLook(row)} /> },
  { id: "name", title: "Endpoint", width: "minmax(140px, 1fr)", value: (row) => row.name, show: (row) => <span className="mono" title={row.name}>{row.name}</span> },
  { id: "confidence", title: "Sure", width: "72px", numeric: true, value: (row) => row.confidence ?? null, show: (row) => sureText(row.confidence) },
  { id: "live", title: "Heard", width: "104px", value: (row) => liveLook(row).word, show: (row) => <State look={liveLook(row)} /> },
  { id: "age", title: "Last sample", width: "112px", value: (row) => row.observed_at ?? null, show: (row) => (row.observed_at ? <Age iso={row.observed_at} /> : NOT_MEASURED) },
  { id: "site", title: "Taken by", width: "104px", value: (row) => row.site ?? null, show: (row) => row.site ?? NOT_MEASURED },
  { id: "evidence", title: "Evidence", width: "minmax(220px, 2.4fr)", value: (row) => row.evidence.join("; "), show: (row) => <span className={row.evidence.length > 0 ? "" : "faint"} title={row.evidence.join("; ")}>{row.evidence.join("; ") || NOT_MEASURED}</span> },
];

export function Endpoints() {
  const url = useUrl();
  const go = useSetUrl();
  const list = useEndpoints();
  const within = inScope(url);
  const rows = (list.data?.items ?? []).filter((item) => !item.site || within(item.site));
  const missing = list.data?.asked.sites.filter((site) => site.state === "late" || site.state === "failed") ?? [];
  const open = (name: string | undefined) => go({ endpoint: name });
  return (
    <div className="room">
      <header className="room-head"><h1>Endpoints</h1><p className="faint">laptops and branch devices, and which part of their way is to blame</p></header>
      {url.at && <p className="notice" role="note">Endpoints are shown as they are now, not as they were at <Time iso={url.at} />; each has what it was in the last day.</p>}
      {list.error && !isLoggedOut(list.error) && <Failure error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Waiting rows={6} />}
      {list.data && (
        <>
          {missing.length > 0 && <p className="notice tone-warn-soft" role="note">Not in it: {missing.map((site) => `${site.site} (${site.error ?? "late"})`).join(", ")}. What these sites took of endpoints is missing here.</p>}
          {list.data.cut && <p className="notice tone-warn-soft" role="note">There are more endpoints than can be looked at: only those heard last are here.</p>}
          <Section title="Endpoints" note={<>{plural(list.data.total, "endpoint")}{rows.length > 0 && `: ${summary(rows)}`}</>} actions={<ExportMenu what="endpoints" at={new Date(nodeNow()).toISOString()} columns={COLUMNS} rows={rows} />} flush>
            <Table label="Endpoints" columns={COLUMNS} rows={rows} rowKey={(row) => row.name} onOpen={(row) => open(row.name === url.endpoint ? undefined : row.name)} selected={(row) => row.name === url.endpoint} empty="There is none yet: holm endpoint token NAME makes a token for an agent, and holm agent run runs it on the machine." />
          </Section>
          {url.endpoint && <One key={url.endpoint} name={url.endpoint} onClose={() => open(undefined)} />}
        </>
      )}
      <SameBy path="/v1/endpoints" cli="holm endpoint list" />
    </div>
  );
}

function One({ name, onClose }: { name: string; onClose: () => void }) {
  const found = useEndpoint(name);
  return (
    <>
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={4} />}
      {found.data && <Detail detail={found.data} onClose={onClose} />}
    </>
  );
}

const MOMENTS: readonly Column<EndpointMoment>[] = [
  { id: "at", title: "At", width: "176px", value: (row) => row.observed_at, show: (row) => <Time iso={row.observed_at} /> },
  { id: "attribution", title: "To blame", width: "120px", value: (row) => row.attribution, show: (row) => <State look={ATTRIBUTION_LOOKS[row.attribution]} /> },
  { id: "confidence", title: "Sure", width: "72px", numeric: true, value: (row) => row.confidence ?? null, show: (row) => sureText(row.confidence) },
  { id: "site", title: "Taken by", width: "104px", value: (row) => row.site },
  { id: "evidence", title: "Evidence", width: "minmax(200px, 2fr)", value: (row) => row.evidence ?? null, show: (row) => row.evidence ?? <span className="faint">{NOT_MEASURED}</span> },
];

function Detail({ detail, onClose }: { detail: EndpointDetail; onClose: () => void }) {
  const { endpoint, counts } = detail;
  return (
    <Section title={endpoint.name} note={<><State look={attributionLook(endpoint)} />{typeof endpoint.confidence === "number" && <span className="faint"> {sureText(endpoint.confidence)} sure</span>}</>} actions={<Button icon="close" label="Close the endpoint" onClick={onClose} />}>
      {!endpoint.enrolled && <p className="notice" role="note">No token of it counts any more: it sends nothing new.</p>}
      <ol className="endpoint-way" aria-label="The way from the machine to its targets">
        <li><strong>Machine</strong><State look={liveLook(endpoint)} /></li>
        {endpoint.layers.map((layer) => (
          <li key={layer.part} className={isBlamed(endpoint, layer) ? "blamed" : layer.state}>
            <strong>{PART_WORDS[layer.part]}</strong><State look={LAYER_LOOKS[layer.state]} /><span className="dim">{layer.text}</span>
          </li>
        ))}
      </ol>
      <dl className="alert-facts">{factsOf(detail.sample).map(([name, value], n) => <div key={n}><dt>{name}</dt><dd className={value === "withheld" ? "endpoint-withheld" : "mono"}>{value}</dd></div>)}</dl>
      <Table label={`What ${endpoint.name} was`} columns={MOMENTS} rows={detail.history} rowKey={(row) => `${row.observed_at} ${row.site}`} empty="No sample came in the last day." />
      <p className="faint">{plural(detail.tokens.length, "token")} of it; since {detail.node} started it took {plural(counts.accepted, "sample")}, knew {counts.known}, refused {counts.refused}; the agent let go of {counts.dropped_by_agent}.</p>
      <SameBy path={`/v1/endpoints/${endpoint.name}`} cli={`holm endpoint show ${endpoint.name}`} />
    </Section>
  );
}

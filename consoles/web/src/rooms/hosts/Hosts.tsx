// Hosts: the service map as rows, with the process behind each connection.
import { useMemo } from "react";

import { isLoggedOut, topologyPath } from "../../api/client";
import { usePlanes } from "../../api/queries";
import type { Topology } from "../../api/types";
import { oneSite } from "../../frame/search";
import { inScope, useScopedTopology, useSetUrl, useUrl } from "../../frame/scope";
import { ElementLink, Failure, PlaneIsDegraded, PlaneIsOff, SameBy, Section, Time, Waiting } from "../../parts/basics";
import { plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { serviceRows, type ServiceRow } from "./services";

const COLUMNS: readonly Column<ServiceRow>[] = [
  { id: "from", title: "From", width: "minmax(150px, 1.3fr)", value: (row) => row.from, show: (row) => <ElementLink id={row.from} /> },
  { id: "to", title: "To", width: "minmax(150px, 1.3fr)", value: (row) => row.to, show: (row) => <ElementLink id={row.to} /> },
  { id: "process", title: "Process", width: "minmax(80px, 0.7fr)", value: (row) => row.process, show: (row) => row.process ?? <Unknown /> },
  { id: "command", title: "Command", width: "minmax(130px, 1.5fr)", value: (row) => row.command, show: (row) => (row.command ? <span className="mono" title={row.command}>{row.command}</span> : <Unknown />) },
  { id: "direction", title: "Direction", width: "90px", value: (row) => row.direction, show: (row) => row.direction ?? <Unknown /> },
  { id: "sites", title: "Site", width: "100px", value: (row) => row.sites },
  { id: "since", title: "Since", width: "132px", value: (row) => row.since, show: (row) => <Time iso={row.since} /> },
];

function Unknown() {
  return <span className="faint" title="not measured: the plane could not see it">–</span>;
}

export function Hosts() {
  const topology = useScopedTopology();
  const planes = usePlanes();
  const url = useUrl();
  const plane = planes.data?.items.find((each) => each.plane === "host");
  return (
    <div className="room full">
      <header className="room-head"><h1>Hosts</h1><p className="faint">who connects to whom, by process</p></header>
      {plane?.state === "off" && <PlaneIsOff plane={plane} />}
      {plane?.state === "degraded" && <PlaneIsDegraded plane={plane} />}
      {topology.error && !isLoggedOut(topology.error) && <Failure error={topology.error} again={() => void topology.refetch()} />}
      {topology.isPending && <Waiting rows={10} />}
      {topology.data && <Services topology={topology.data} off={plane?.state === "off"} />}
      <SameBy path={topologyPath({ at: url.at, site: oneSite(url.site) })} cli={["holm topology", oneSite(url.site) && `--site ${oneSite(url.site) ?? ""}`, url.at && `--at ${url.at}`].filter(Boolean).join(" ")} />
    </div>
  );
}

function Services({ topology, off }: { topology: Topology; off: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const rows = useMemo(() => serviceRows(topology, inScope(url)), [topology, url]);
  // With the plane off there is nothing of this site's own; what other sites saw is still worth its rows.
  if (off && rows.length === 0) return null;
  return (
    <Section title="Connections" note={plural(rows.length, "connection")} actions={<ExportMenu what="hosts" at={topology.at} columns={COLUMNS} rows={rows} />} flush>
      <Table label="Connections" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} onOpen={(row) => setUrl({ el: row.id })} selected={(row) => row.id === url.el} sort={{ id: "from", desc: false }} empty="No connection was observed in this scope." fill />
    </Section>
  );
}

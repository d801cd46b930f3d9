// The topology: the picture, its table, its time.
import { useMemo, useRef, useState } from "react";

import { isLoggedOut, topologyPath } from "../../api/client";
import { useResults, useWhatIf } from "../../api/queries";
import type { Topology } from "../../api/types";
import { useKeys } from "../../frame/keys";
import { oneSite, split } from "../../frame/search";
import { useScopedTopology, useSetUrl, useUrl } from "../../frame/scope";
import { Button, Failure, Nothing, SameBy, Waiting } from "../../parts/basics";
import { download, fileName } from "../../parts/export";
import { count } from "../../parts/format";
import { GraphView, type GraphHandle } from "../../parts/graph/GraphView";
import { blastOf, filterTopology, picture } from "../../parts/graph/model";
import { toSvg } from "../../parts/graph/svg";
import { StateMark } from "../../parts/icons";
import { ExportMenu } from "../../parts/table";
import { Filters } from "./Filters";
import { TimeSlider } from "./TimeSlider";
import { COLUMNS, rowsOf, TopologyTable } from "./TopologyTable";
import "./topology.css";

export function TopologyRoom() {
  const topology = useScopedTopology();
  if (topology.error && !isLoggedOut(topology.error)) return <div className="room"><Failure error={topology.error} again={() => void topology.refetch()} /></div>;
  if (!topology.data) return <div className="room"><Waiting rows={8} /></div>;
  return <Loaded topology={topology.data} fetching={topology.isPlaceholderData} />;
}

const NO_RESULTS: never[] = [];
const NO_ROWS: never[] = [];

function Loaded({ topology, fetching }: { topology: Topology; fetching: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const results = useResults();
  const graph = useRef<GraphHandle>(null);
  const asTable = url.view === "table";
  const failed = topology.live ? (results.data?.items ?? NO_RESULTS) : NO_RESULTS;

  const shown = useMemo(() => filterTopology(topology, { sites: split(url.site), hide: split(url.hide) }), [topology, url.site, url.hide]);
  const drawn = useMemo(() => picture(topology, shown, failed), [topology, shown, failed]);
  const rows = useMemo(() => (asTable ? rowsOf(drawn, shown) : NO_ROWS), [asTable, drawn, shown]);

  const impact = useWhatIf(url.fail, url.at);
  const blast = useMemo(() => (url.fail && impact.data ? blastOf(impact.data) : undefined), [url.fail, impact.data]);

  const flip = () => setUrl({ view: asTable ? undefined : "table" });
  useKeys({
    t: flip,
    "+": () => graph.current?.scene()?.zoom(0.7),
    "=": () => graph.current?.scene()?.zoom(0.7),
    "-": () => graph.current?.scene()?.zoom(1.4),
    "0": () => graph.current?.scene()?.fit(),
    r: () => graph.current?.scene()?.rearrange(),
  });
  const png = () =>
    void graph.current?.scene()?.png().then((blob) => {
      if (blob) download(fileName("topology", topology.at, "png"), "image/png", blob);
    });
  const svg = () => {
    const scene = graph.current?.scene();
    if (scene) download(fileName("topology", topology.at, "svg"), "image/svg+xml", toSvg(scene.drawn(), `Topology at ${topology.at}`));
  };

  return (
    <div className="room full topology" aria-busy={fetching}>
      <header className="room-head">
        <h1>Topology</h1>
        <p className="faint counts">
          {count(shown.nodes.length)} nodes · {count(shown.edges.length)} edges
          {topology.shown.nodes < topology.total.nodes && <> · {count(topology.shown.nodes)} of {count(topology.total.nodes)} nodes were sent</>}
        </p>
        <div className="actions">
          <Button icon={asTable ? "topology" : "table"} onClick={flip} label={asTable ? "Show the picture" : "Show the table"} shortcut="t" pressed={asTable}>{asTable ? "Picture" : "Table"}</Button>
          <ExportMenu what="topology" at={topology.at} columns={COLUMNS} rows={() => rowsOf(drawn, shown)} more={asTable ? [] : [{ name: "PNG", run: png }, { name: "SVG", run: svg }]} />
        </div>
      </header>
      <Filters topology={topology} />
      {!topology.topology_running && (
        <p className="notice tone-warn-soft" role="note"><StateMark mark="triangle" tone="warn" /> The topology does not run at this node: what is shown may be missing what happens now.</p>
      )}
      <div className="stage">
        {drawn.nodes.length === 0 ? <Empty topology={topology} filtered={Boolean(url.site ?? url.hide)} /> : asTable ? (
          <TopologyTable rows={rows} />
        ) : (
          <GraphView picture={drawn} selected={url.el} impact={blast} onSelect={(id) => setUrl({ el: id, fail: undefined })} handle={graph} />
        )}
        {!asTable && <Coverage topology={topology} />}
      </div>
      <TimeSlider topology={topology} />
      <SameBy path={topologyPath({ at: url.at, site: oneSite(url.site) })} cli={["holm topology", oneSite(url.site) && `--site ${oneSite(url.site) ?? ""}`, url.at && `--at ${url.at}`].filter(Boolean).join(" ")} />
    </div>
  );
}

function Empty({ topology, filtered }: { topology: Topology; filtered: boolean }) {
  if (filtered) return <Nothing title="Nothing in this scope">Sites or kinds are filtered out. Everything is there again when the filters are cleared.</Nothing>;
  if (!topology.live) return <Nothing title="Nothing was known at that moment">The history that is kept begins at {topology.earliest ?? "no moment yet"}.</Nothing>;
  return <Nothing title="Nothing observed yet">No plane has told of an element. The planes and why they may be off are in Settings.</Nothing>;
}

/** What was watched and what was not, in the corner of the picture. */
function Coverage({ topology }: { topology: Topology }) {
  const [open, setOpen] = useState(true);
  const { notes } = topology.coverage;
  if (notes.length === 0) return null;
  return (
    <details className="coverage" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Not watched <span className="faint">{notes.length}</span></summary>
      <ul>{notes.map((note) => <li key={note}>{note}</li>)}</ul>
    </details>
  );
}

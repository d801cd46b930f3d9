// The topology: the picture, its table, its time.
import { useMemo, useRef, useState, type ReactNode } from "react";

import { isLoggedOut, topologyPath } from "../../api/client";
import type { Topology } from "../../api/types";
import { aWhileBefore } from "../../frame/history";
import { useKeys } from "../../frame/keys";
import { oneSite } from "../../frame/search";
import { useScopedTopology, useSetUrl, useUrl } from "../../frame/scope";
import { Button, Failure, Nothing, SameBy, Waiting } from "../../parts/basics";
import { download, fileName } from "../../parts/export";
import { count } from "../../parts/format";
import { groupOf } from "../../parts/graph/cluster";
import { GraphView, type GraphHandle } from "../../parts/graph/GraphView";
import { toSvg } from "../../parts/graph/svg";
import { StateMark } from "../../parts/icons";
import { ExportMenu } from "../../parts/table";
import { ChangesSide } from "./ChangesSide";
import { Filters } from "./Filters";
import { GroupMenu, OpenGroup } from "./Groups";
import { ImpactStrip } from "./ImpactStrip";
import { RankingSide } from "./RankingSide";
import { SideBySideSide } from "./SideBySideSide";
import { TimeSlider } from "./TimeSlider";
import { columnsFor, rowsOf, TopologyTable } from "./TopologyTable";
import { useComparison, usePicture } from "./usePicture";
import "./topology.css";

export function TopologyRoom() {
  const topology = useScopedTopology();
  if (topology.error && !isLoggedOut(topology.error)) return <div className="room"><Failure error={topology.error} again={() => void topology.refetch()} /></div>;
  if (!topology.data) return <div className="room"><Waiting rows={8} /></div>;
  return <Loaded topology={topology.data} fetching={topology.isPlaceholderData} />;
}

const NO_ROWS: never[] = [];

function Loaded({ topology, fetching }: { topology: Topology; fetching: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const graph = useRef<GraphHandle>(null);
  const asTable = url.view === "table";
  const compare = useComparison();
  const { elements, whole, drawn, grouping, groups, blast, selected } = usePicture(topology, compare);
  const rows = useMemo(() => (asTable ? rowsOf(whole, elements) : NO_ROWS), [asTable, whole, elements]);

  const choose = (id: string | undefined) => {
    const group = id === undefined ? null : groupOf(id);
    // A line between groups stands for many edges: there is no one element to open.
    if (id !== undefined && drawn.edges.find((edge) => edge.id === id)?.merged !== undefined) return;
    setUrl(group === null ? { el: id, fail: undefined, fail2: undefined } : { open: group });
  };
  const flip = () => setUrl({ view: asTable ? undefined : "table" });
  useKeys({
    t: flip,
    b: () => setUrl({ side: url.side ? undefined : "ranking" }),
    c: () => setUrl({ diff: url.diff ? undefined : aWhileBefore(topology, url.at) }),
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
          {count(elements.nodes.length)} nodes · {count(elements.edges.length)} edges
          {topology.shown.nodes < topology.total.nodes && <> · {count(topology.shown.nodes)} of {count(topology.total.nodes)} nodes were sent</>}
          {topology.shown.edges < topology.total.edges && <> · {count(topology.shown.edges)} of {count(topology.total.edges)} edges were sent</>}
        </p>
        <div className="actions">
          {!asTable && <GroupMenu grouping={grouping} groups={groups} />}
          <Button icon="ranking" onClick={() => setUrl({ side: url.side ? undefined : "ranking" })} label="What would break most" shortcut="b" pressed={url.side === "ranking"}>Ranking</Button>
          <Button icon={asTable ? "topology" : "table"} onClick={flip} label={asTable ? "Show the picture" : "Show the table"} shortcut="t" pressed={asTable}>{asTable ? "Picture" : "Table"}</Button>
          <ExportMenu what="topology" at={topology.at} columns={columnsFor(url.diff !== undefined)} rows={() => rowsOf(whole, elements)} more={asTable ? [] : [{ name: "PNG", run: png }, { name: "SVG", run: svg }]} />
        </div>
      </header>
      <Filters topology={topology} />
      {!topology.topology_running && (
        <p className="notice tone-warn-soft" role="note"><StateMark mark="triangle" tone="warn" /> The topology does not run at this node: what is shown may be missing what happens now.</p>
      )}
      <div className="stage-row">
        <SideBySide compare={compare} />
        <div className="stage">
          {drawn.nodes.length === 0 ? <Empty topology={topology} filtered={Boolean(url.site ?? url.hide)} /> : asTable ? (
            <TopologyTable rows={rows} compared={url.diff !== undefined} />
          ) : (
            <>
              <GraphView picture={drawn} selected={selected} impact={blast} onSelect={choose} handle={graph} />
              <div className="over">
                <OpenGroup grouping={grouping} />
                <ImpactStrip />
              </div>
            </>
          )}
          {!asTable && <Coverage topology={topology} />}
        </div>
      </div>
      <TimeSlider topology={topology} />
      <SameBy path={topologyPath({ at: url.at, site: oneSite(url.site) })} cli={["holm topology", oneSite(url.site) && `--site ${oneSite(url.site) ?? ""}`, url.at && `--at ${url.at}`].filter(Boolean).join(" ")} />
    </div>
  );
}

/** What is open beside the picture: two failures, the ranking, else what changed. */
function SideBySide({ compare }: { compare: ReturnType<typeof useComparison> }): ReactNode {
  const url = useUrl();
  if (url.fail !== undefined && url.fail2 !== undefined) return <SideBySideSide />;
  if (url.side === "ranking") return <RankingSide />;
  if (url.diff === undefined) return null;
  return <ChangesSide comparison={compare.comparison} error={compare.error} again={compare.again} busy={compare.busy} />;
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

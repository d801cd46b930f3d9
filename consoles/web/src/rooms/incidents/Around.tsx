// What lay around an incident when it began: a small picture of the topology of that moment, its table, the way to the whole.
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useRef, useState, type TouchEvent, type WheelEvent } from "react";

import { ApiError, isLoggedOut, topologyPath } from "../../api/client";
import { MOST_AROUND, useTopologyAround } from "../../api/queries";
import type { Incident, Topology } from "../../api/types";
import { useKeys } from "../../frame/keys";
import { Button, ElementLink, Failure, SameBy, Section, shellWord, State, Time, Waiting } from "../../parts/basics";
import { download, fileName } from "../../parts/export";
import type { GraphHandle } from "../../parts/graph/GraphView";
import { toSvg } from "../../parts/graph/svg";
import type { StateLook } from "../../parts/states";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { columnsFor, rowsOf, type ElementRow } from "../topology/TopologyTable";
import { excerpt, excerptNote } from "./excerpt";

// Drawing is the largest part of the page, and not the first that is looked at.
const GraphView = lazy(() => import("../../parts/graph/GraphView").then((part) => ({ default: part.GraphView })));

const TITLE = "Around it when it began";
const ABOUT: StateLook = { tone: "bad", mark: "square", word: "about it", means: "the incident is about it" };
const COLUMNS: readonly Column<ElementRow>[] = [
  { id: "about", title: "Incident", width: "104px", value: (row) => (row.look === "bad" ? ABOUT.word : "near it"), show: (row) => (row.look === "bad" ? <State look={ABOUT} /> : <span className="faint">near it</span>) },
  // What else is known of a state is of now.
  ...columnsFor(false).filter(({ id }) => id !== "state"),
];

export function Around({ incident }: { incident: Incident }) {
  const { opened_at: at, targets } = incident;
  const found = useTopologyAround(targets, at);
  if (found.data) return <Loaded topology={found.data.topology} middle={found.data.middle} incident={incident} />;
  const missing = found.error instanceof ApiError && found.error.status === 404;
  return (
    <Section title={TITLE} note={<Time iso={at} />}>
      {found.isPending && <Waiting rows={7} />}
      {missing && <p>The topology of <Time iso={at} /> does not know what this is about: {found.error?.message}. <WholeThen at={at} /></p>}
      {found.error && !missing && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
    </Section>
  );
}

function WholeThen({ at }: { at: string }) {
  return <Link to="/topology" search={{ at }} className="link">The topology then</Link>;
}

function Loaded({ topology, middle, incident: { targets, opened_at: at } }: { topology: Topology; middle: string; incident: Incident }) {
  const navigate = useNavigate();
  const graph = useRef<GraphHandle>(null);
  const [asTable, setAsTable] = useState(false);
  const { picture, apart } = useMemo(() => excerpt(topology, middle, targets), [topology, middle, targets]);
  const rows = useMemo(() => rowsOf(picture, topology), [picture, topology]);
  const scene = () => graph.current?.scene();
  const open = (el: string | undefined) => {
    if (el !== undefined) void navigate({ to: "/topology", search: { at, el } });
  };
  const flip = () => setAsTable(!asTable);
  useKeys({
    t: flip,
    "+": () => scene()?.zoom(0.7), "=": () => scene()?.zoom(0.7), "-": () => scene()?.zoom(1.4),
    "0": () => scene()?.fit(), r: () => scene()?.rearrange(),
  });
  const png = () => void scene()?.png().then((blob) => {
    if (blob) download(fileName("incident", at, "png"), "image/png", blob);
  });
  const svg = () => {
    const drawn = scene()?.drawn();
    if (drawn) download(fileName("incident", at, "svg"), "image/svg+xml", toSvg(drawn, `Around ${middle} at ${at}`));
  };
  return (
    <Section
      title={TITLE}
      note={<><Time iso={at} /> · {excerptNote(topology)}</>}
      actions={<>
        <Button icon={asTable ? "topology" : "table"} onClick={flip} label={asTable ? "Show the picture" : "Show the table"} shortcut="t" pressed={asTable}>{asTable ? "Picture" : "Table"}</Button>
        <ExportMenu what="incident" at={at} columns={COLUMNS} rows={rows} more={asTable ? [] : [{ name: "PNG", run: png }, { name: "SVG", run: svg }]} />
      </>}
    >
      <div className="incident-around" onWheelCapture={leaveWheel} onTouchStartCapture={leaveTouch}>
        {asTable ? (
          <Table label="Around it" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} onOpen={(row) => open(row.id)} empty="Nothing." fill />
        ) : (
          <Suspense fallback={<Waiting rows={6} />}>
            <GraphView picture={picture} selected={undefined} impact={undefined} onSelect={open} handle={graph} />
          </Suspense>
        )}
      </div>
      <p>
        <State look={ABOUT} /> <span className="faint">· {topology.total.edges === 0 ? "Nothing was known to be next to it." : "Choose an element to see it in the topology then."}</span> <WholeThen at={at} />
      </p>
      {apart.length > 0 && <p className="faint">Not in this picture: {apart.map((id) => <span key={id} className="incident-target"><ElementLink id={id} /></span>)}</p>}
      <SameBy path={topologyPath({ at, around: middle, limit: MOST_AROUND })} cli={`holm topology --around ${shellWord(middle)} --depth 1 --at ${at}`} />
    </Section>
  );
}

/** The wheel scrolls the page past a picture that is a part of it; with Ctrl it zooms. */
function leaveWheel(event: WheelEvent) {
  if (!event.ctrlKey) event.stopPropagation();
}

/** So does one finger; two move the picture. */
function leaveTouch(event: TouchEvent) {
  if (event.touches.length === 1) event.stopPropagation();
}

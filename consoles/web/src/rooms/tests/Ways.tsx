// The ways to a test's target, now or at a moment: from each site that traces it, with what changed on them.
import * as Slider from "@radix-ui/react-slider";
import { useEffect, useRef, useState } from "react";

import { isLoggedOut } from "../../api/client";
import { useTestPath } from "../../api/queries";
import type { TestPath, TestPathChange, TestWays } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Failure, Nothing, SameBy, State, Time, Waiting } from "../../parts/basics";
import { millis, moment, NOT_MEASURED, plural } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { changeText, factsOf, lossOf, percentText, picture, underText, type WayNode } from "./ways";
import "./ways.css";

const SETTLE_MS = 250;
/** Longest text of an address in its box. */
const FITS = 19;

const keyOf = (ways: TestWays) => `${ways.trace.site} ${ways.trace.target} ${ways.trace.protocol}`;

export function Ways({ name }: { name: string }) {
  const url = useUrl();
  const go = useSetUrl();
  const found = useTestPath(name, url.at);
  const [chosen, setChosen] = useState<string | null>(null);
  const path = found.data;
  if (found.error && !isLoggedOut(found.error)) return <Failure error={found.error} again={() => void found.refetch()} />;
  if (!path) return <Waiting rows={4} />;
  const ways = path.ways.find((each) => keyOf(each) === chosen) ?? path.ways.at(0);
  const missing = path.asked.sites.filter((site) => site.state === "late" || site.state === "failed");
  return (
    <div className="ways" role="region" aria-label={`Ways to ${path.host}`}>
      <h3>Ways to <span className="mono">{path.host}</span></h3>
      <Moments path={path} />
      {missing.length > 0 && <p className="notice tone-warn-soft" role="note">Not in the picture: {missing.map((site) => `${site.site} (${site.error ?? "late"})`).join(", ")}</p>}
      {path.ways.length > 1 && (
        <div className="alert-buttons" role="group" aria-label="Whose trace">
          {path.ways.map((each) => <Button key={keyOf(each)} pressed={each === ways} onClick={() => setChosen(keyOf(each))}>{each.trace.site}: {each.trace.target}, {each.trace.protocol}</Button>)}
        </div>
      )}
      {ways ? <One key={keyOf(ways)} ways={ways} /> : <Nothing title="Not traced">No site traced {path.host} in this time. Name it in <code>planes.path.targets</code> of the sites that shall.</Nothing>}
      {ways && path.without.length > 0 && <p className="faint">They run the test and do not trace its host: {path.without.join(", ")}.</p>}
      <Changes path={path} onAt={(at) => go({ at })} />
      <SameBy path={`/v1/tests/${name}/path${url.at ? `?at=${url.at}` : ""}`} cli={`holm test path ${name}${url.at ? ` --at ${url.at}` : ""}`} />
    </div>
  );
}

/** The time that is shown, with a mark at each change. Its right end is live. */
function Moments({ path }: { path: TestPath }) {
  const url = useUrl();
  const go = useSetUrl();
  const [held, setHeld] = useState<number | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const [from, to] = [Date.parse(path.asked.from), Date.parse(path.asked.to)];
  const shown = held ?? Math.min(Math.max(url.at ? Date.parse(url.at) : to, from), to);
  const live = !url.at && held === null;
  const pick = (value: number) => {
    setHeld(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { go({ at: value >= to && !url.at ? undefined : new Date(value).toISOString() }, true); setHeld(null); }, SETTLE_MS);
  };
  const iso = new Date(shown).toISOString();
  return (
    <div className="time-slider">
      <span className="faint edge-label" title={path.asked.from}>{moment(path.asked.from, to)}</span>
      <Slider.Root className="slider" min={from} max={to} step={1000} value={[shown]} onValueChange={([value]) => { if (value !== undefined) pick(value); }}>
        <svg className="changes" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
          {path.changes.map((change) => <rect key={`${change.site} ${change.target} ${change.at}`} x={(100 * (Date.parse(change.at) - from)) / Math.max(1, to - from)} width="0.6" y={2} height={8} />)}
        </svg>
        <Slider.Track className="track"><Slider.Range className="range" /></Slider.Track>
        <Slider.Thumb className="thumb" aria-label="Moment of the ways" aria-valuetext={live ? "live" : moment(iso, to)} />
      </Slider.Root>
      <span className="reading" aria-live="off">{live ? <strong>Live</strong> : <strong>{moment(iso, to)}</strong>}</span>
      <Button disabled={live} onClick={() => go({ at: undefined })}>Live</Button>
    </div>
  );
}

function One({ ways }: { ways: TestWays }) {
  const drawn = picture(ways);
  const [selected, setSelected] = useState<string | null>(null);
  const node = drawn.nodes.find((each) => each.id === selected) ?? null;
  const { trace } = ways;
  return (
    <>
      <p>
        <strong>{trace.site}</strong> to <span className="mono">{trace.target}</span>{ways.address && ways.address !== trace.target && <> (<span className="mono">{ways.address}</span>)</>} by {trace.protocol}, <Time iso={trace.at} />: {trace.outcome}
        {trace.rtt_ms !== null && `, ${millis(trace.rtt_ms)}`}, {percentText(trace.loss)} lost on the way
        {trace.mtu && `, path MTU ${trace.mtu}${ways.mtu_how === "searched" ? " (found by trying)" : ""}${ways.mtu_hop ? ` at ${ways.mtu_hop}` : ""}`}
        {trace.as_path && `, AS path ${trace.as_path}`}
        {ways.failure_bound !== null && <span className="faint">; a branch was missed with a probability of at most {ways.failure_bound.toFixed(3)}</span>}
      </p>
      {(ways.error ?? ways.problem) && <p className="notice tone-warn-soft" role="note">{ways.error ?? ways.problem}</p>}
      {drawn.nodes.length > 0 && (
        <>
          <div className="ways-scroll" tabIndex={0} role="region" aria-label={`Hops from ${trace.site}`}>
            <svg width={drawn.width} height={drawn.height} role="group" aria-label={`${plural(ways.hops.length, "hop")} to ${trace.target}`}>
              {drawn.edges.map((edge) => <line key={edge.id} className={`way-link${edge.guessed ? " guessed" : ""}${edge.tunnel ? " tunnel" : ""}`} x1={edge.points[0]} y1={edge.points[1]} x2={edge.points[2]} y2={edge.points[3]}>{edge.tunnel && <title>MPLS tunnel</title>}</line>)}
              {drawn.nodes.map((each) => <Box key={each.id} node={each} width={drawn.box.width} height={drawn.box.height} chosen={each.id === selected} onChoose={() => setSelected(each.id === selected ? null : each.id)} />)}
            </svg>
          </div>
          {node && <dl className="alert-facts" aria-label="Details of the hop" aria-live="polite">{[["address", node.interface?.address ?? "nothing answers"] as const, ...factsOf(node)].map(([term, what]) => <div key={term}><dt>{term}</dt><dd>{what}</dd></div>)}</dl>}
          <details>
            <summary>As a table</summary>
            <div className="alert-buttons"><ExportMenu what="ways" at={trace.at} columns={COLUMNS} rows={drawn.nodes} /></div>
            <Table label={`Hops from ${trace.site} to ${trace.target}`} columns={COLUMNS} rows={drawn.nodes} rowKey={(row) => row.id} empty="No hop answered." />
          </details>
        </>
      )}
    </>
  );
}

const COLUMNS: readonly Column<WayNode>[] = [
  { id: "hop", title: "Hop", width: "56px", numeric: true, value: (row) => row.hop.ttl },
  { id: "state", title: "State", width: "128px", value: (row) => row.look.word, show: (row) => <State look={row.look} /> },
  { id: "address", title: "Interface", width: "minmax(150px, 1.4fr)", value: (row) => row.interface?.address ?? "", show: (row) => <span className="mono">{row.interface?.address ?? "*"}</span> },
  { id: "as", title: "AS", width: "minmax(110px, 1fr)", value: (row) => row.interface?.system ?? null, show: (row) => (row.interface?.system ? `${row.interface.system} ${row.interface.system_name ?? ""}` : NOT_MEASURED) },
  { id: "lost", title: "Lost", width: "72px", numeric: true, value: (row) => lossOf(row.hop), show: (row) => percentText(lossOf(row.hop)) },
  { id: "silent", title: "Own silence", width: "96px", numeric: true, value: (row) => (row.hop.sent > 0 ? row.hop.silent / row.hop.sent : null), show: (row) => percentText(row.hop.sent > 0 ? row.hop.silent / row.hop.sent : null) },
  { id: "least", title: "Least", width: "84px", numeric: true, value: (row) => row.interface?.rtt_min_ms ?? null, show: (row) => millis(row.interface?.rtt_min_ms) },
  { id: "longest", title: "Longest", width: "84px", numeric: true, value: (row) => row.interface?.rtt_max_ms ?? null, show: (row) => millis(row.interface?.rtt_max_ms) },
  { id: "mpls", title: "MPLS", width: "84px", value: (row) => row.interface?.labels.join(" ") ?? "" },
];

function Box({ node, width, height, chosen, onChoose }: { node: WayNode; width: number; height: number; chosen: boolean; onChoose: () => void }) {
  const address = node.interface?.address ?? "*";
  const text = address.length > FITS ? `${address.slice(0, FITS - 1)}…` : address;
  const said = `Hop ${node.hop.ttl}: ${address}, ${node.look.word}, ${underText(node)}`;
  return (
    <foreignObject x={node.x} y={node.y} width={width} height={height}>
      <button type="button" className={`way-box tone-${node.look.tone}-soft${node.interface ? "" : " silent"}`} aria-pressed={chosen} aria-label={said} title={said} onClick={onChoose}>
        <span className="mono"><StateMark mark={node.look.mark} tone={node.look.tone} /> {text}</span>
        <span className="faint">{underText(node)}</span>
      </button>
    </foreignObject>
  );
}

const CHANGE_COLUMNS = (onAt: (at: string) => void): readonly Column<TestPathChange>[] => [
  { id: "at", title: "At", width: "minmax(130px, 0.8fr)", value: (row) => row.at, show: (row) => <button type="button" className="link" onClick={() => onAt(row.at)}><Time iso={row.at} /></button> },
  { id: "site", title: "Site", width: "110px", value: (row) => row.site },
  { id: "target", title: "Target", width: "minmax(110px, 1fr)", value: (row) => row.target },
  { id: "changed", title: "Changed", width: "minmax(110px, 0.8fr)", value: (row) => row.changed.join(", ") },
  { id: "what", title: "What", width: "minmax(200px, 3fr)", value: (row) => changeText(row), show: (row) => <span title={changeText(row)}>{changeText(row)}</span> },
];

function Changes({ path, onAt }: { path: TestPath; onAt: (at: string) => void }) {
  if (path.changes.length === 0) return <p className="faint">The ways did not change in this time: {plural(path.traces.length, "trace")}.</p>;
  return (
    <>
      <p className="faint">{plural(path.changes.length, "change")} of the ways in {plural(path.traces.length, "trace")}{path.cut && "; there are more, these are the latest"}</p>
      <Table label="Changes of the ways" columns={CHANGE_COLUMNS(onAt)} rows={path.changes} rowKey={(row) => `${row.site} ${row.target} ${row.protocol} ${row.at}`} empty="" />
    </>
  );
}

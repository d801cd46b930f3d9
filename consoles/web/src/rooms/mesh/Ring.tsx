// Up to 240 sites on a ring. Ways that are open are one path; only those in trouble are elements of their own.
import { memo, useMemo, useRef, useState, type KeyboardEvent } from "react";

import { plural, wholeMillis } from "../../parts/format";
import { SITE_LOOKS } from "../../parts/states";
import { lagText, type Seen } from "./lag";
import { labelAt, LEVEL_MOST, NAMED_MOST, OPEN_MOST, ring, startingWith, type Place } from "./layout";
import type { Drawn } from "./MeshPicture";
import type { Way } from "./reach";
import { cross, SiteMark } from "./SiteMark";

/** Most ways in trouble that have a sign of their own; the others are told by their line, the matrix and the verdicts. */
const SIGNS_MOST = 80;

interface Props {
  drawn: Drawn;
  ways: readonly Way[];
  width: number;
  chosen: string | undefined;
  onPick: (site: string) => void;
}

export function Ring({ drawn, ways, width, chosen, onPick }: Props) {
  const { seen, view, troubled } = drawn;
  const svg = useRef<SVGSVGElement>(null);
  const [focus, setFocus] = useState(0);
  const [over, setOver] = useState<string | null>(null);
  const names = useMemo(() => startingWith(seen.map((each) => each.site), view.site), [seen, view.site]);
  const height = Math.round(names.length === 1 ? 150 : names.length <= 3 ? Math.min(300, width) : names.length <= LEVEL_MOST ? Math.min(380, width) : Math.min(560, Math.max(340, width)));
  const sites = names.join(" ");
  const { mark, places } = useMemo(() => ring(sites === "" ? 0 : sites.split(" ").length, width, height), [sites, width, height]);
  const at = useMemo(() => new Map(names.map((name, n) => [name, places[n] ?? { x: 0, y: 0, angle: 0 }])), [names, places]);
  const by = useMemo(() => new Map(seen.map((each) => [each.site, each])), [seen]);
  const verdicts = view.verdicts;
  const down = useMemo(() => new Set(verdicts.filter((each) => each.kind === "site_down").map((each) => each.subject)), [verdicts]);
  const current = Math.min(focus, names.length - 1);
  const shown = over ?? chosen;

  const go = (to: number) => {
    const next = (to + names.length) % names.length;
    setFocus(next);
    svg.current?.querySelector<SVGGElement>(`[data-n="${next}"]`)?.focus();
  };
  const keys = (event: KeyboardEvent, site: string) => {
    const step: Record<string, number> = { ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1, ArrowUp: current - 1, Home: 0, End: names.length - 1 };
    const to = step[event.key];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" || event.key === " ") onPick(site);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <svg ref={svg} className="mesh-ring" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={`The mesh drawn: ${plural(names.length, "site")}, ${plural(ways.filter((way) => way.state === "open").length, "open way")}. Arrows go from site to site.`}>
      <Lines ways={ways} at={at} quiet={names.length > LEVEL_MOST} own={view.site} down={down} />
      {shown !== undefined && <LinesOf ways={ways} at={at} site={shown} />}
      {names.length <= (width < 500 ? 4 : LEVEL_MOST) && <RoundTrips drawn={drawn} at={at} />}
      {names.map((name, n) => {
        const site = by.get(name);
        const place = at.get(name);
        if (!site || !place) return null;
        const named = names.length <= NAMED_MOST || name === shown || site.state === "here" || troubled.has(name);
        return (
          <g
            key={name} data-n={n} data-site={name} role="button" aria-pressed={name === chosen} tabIndex={n === current ? 0 : -1}
            aria-label={said(site, drawn)}
            className={`mesh-site ${site.state}${name === chosen ? " chosen" : ""}${troubled.has(name) ? " troubled" : ""}`}
            onFocus={() => setFocus(n)} onKeyDown={(event) => keys(event, name)} onClick={() => onPick(name)}
            onPointerEnter={() => setOver(name)} onPointerLeave={() => setOver(null)}
          >
            <title>{said(site, drawn)}</title>
            <SiteMark state={site.state} step={site.step} place={place} mark={mark} />
            {named && <Label site={site} place={place} mark={mark} level={names.length <= LEVEL_MOST || (names.length > NAMED_MOST && name === shown)} />}
          </g>
        );
      })}
    </svg>
  );
}

/** A site in words: what the picture says with shape, colour and lines. */
function said(site: Seen, { reach, troubled, view }: Drawn): string {
  const not = reach.sites.filter((by) => reach.says(by, site.site) === "no");
  const lag = site.state === "here" ? "this node's own site" : `${SITE_LOOKS[site.state].word}, lag ${lagText(site.lagMs)}`;
  const words = view.verdicts.filter((each) => each.subject.split(" - ").includes(site.site)).map((each) => each.text);
  return [`${site.site}: ${lag}`, ...(not.length > 0 ? [`not reached by ${not.slice(0, 8).join(", ")}${not.length > 8 ? ` and ${not.length - 8} more` : ""}`] : []), ...(troubled.has(site.site) ? words : [])].join("; ");
}

function Label({ site, place, mark, level }: { site: Seen; place: Place; mark: number; level: boolean }) {
  const { x, y, anchor, rotate } = labelAt(place, mark, level);
  const lag = site.state === "here" ? "this node" : lagText(site.lagMs);
  const turned = rotate === 0 ? undefined : `rotate(${rotate} ${x} ${y})`;
  const name = site.site.length > 16 ? `${site.site.slice(0, 15)}…` : site.site;
  return level ? (
    <text x={x} y={y} textAnchor={anchor} className="label"><tspan className="name">{name}</tspan><tspan x={x} dy="14" className="lag">{lag}</tspan></text>
  ) : (
    <text x={x} y={y} textAnchor={anchor} dominantBaseline="central" transform={turned} className="label small"><tspan className="name">{name}</tspan> <tspan className="lag">{lag}</tspan></text>
  );
}

const Lines = memo(function Lines({ ways, at, quiet, own, down }: { ways: readonly Way[]; at: ReadonlyMap<string, Place>; quiet: boolean; own: string; down: ReadonlySet<string> }) {
  const open = ways.filter((way) => way.state === "open");
  const drawn = open.length > OPEN_MOST ? open.filter((way) => way.a === own || way.b === own) : open;
  const broken = ways.filter((way) => way.state === "broken");
  // That a site is down is said once, at the site: its ways are drawn thin, so that a way between two that run stands out.
  const toDown = (way: Way) => quiet && (down.has(way.a) || down.has(way.b));
  const trouble = ways.filter((way) => (way.state === "broken" || way.state === "half") && !toDown(way));
  return (
    <g className={quiet ? "lines quiet" : "lines"}>
      <path d={lines(drawn, "open", at)} className={drawn === open ? "way way-open" : "way way-open few"} />
      {ways.length <= OPEN_MOST && <path d={lines(ways, "untried", at)} className="way way-untried" />}
      <path d={lines(broken.filter(toDown), "broken", at)} className={quiet && broken.length > 60 ? "way way-broken to-down many" : "way way-broken to-down"} />
      <path d={lines(trouble, "half", at)} className="way way-half" />
      <path d={lines(trouble, "broken", at)} className="way way-broken" />
      {trouble.slice(0, SIGNS_MOST).map((way) => <Sign key={`${way.a} ${way.b}`} way={way} at={at} />)}
    </g>
  );
});

/** The ways of one site, drawn again over all others. */
function LinesOf({ ways, at, site }: { ways: readonly Way[]; at: ReadonlyMap<string, Place>; site: string }) {
  const own = ways.filter((way) => way.a === site || way.b === site);
  return <g className="lines chosen">{(["open", "half", "broken"] as const).map((state) => <path key={state} d={lines(own, state, at)} className={`way way-${state}`} />)}</g>;
}

function lines(ways: readonly Way[], state: Way["state"], at: ReadonlyMap<string, Place>): string {
  let path = "";
  for (const way of ways) {
    const [a, b] = [at.get(way.a), at.get(way.b)];
    if (way.state === state && a && b) path += `M${a.x.toFixed(1)} ${a.y.toFixed(1)}L${b.x.toFixed(1)} ${b.y.toFixed(1)}`;
  }
  return path;
}

/** A cross on a way that is down; on one that goes in one direction, an arrow towards whom it reaches. */
function Sign({ way, at }: { way: Way; at: ReadonlyMap<string, Place> }) {
  const [a, b] = [at.get(way.a), at.get(way.b)];
  if (!a || !b) return null;
  const [x, y] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
  const text = way.state === "broken" ? `the way between ${way.a} and ${way.b} is down, by the word of ${[...(way.ab === "no" ? [way.a] : []), ...(way.ba === "no" ? [way.b] : [])].join(" and ")}` : `${way.ab === "yes" ? way.a : way.b} reaches ${way.ab === "yes" ? way.b : way.a}, which does not reach it`;
  const towards = way.ab === "yes" ? [a, b] as const : [b, a] as const;
  const degrees = (Math.atan2(towards[1].y - towards[0].y, towards[1].x - towards[0].x) * 180) / Math.PI;
  return (
    <g className={`way-sign way-${way.state}`}>
      <title>{text}</title>
      <circle cx={x} cy={y} r="8" className="ground" />
      {way.state === "broken" ? <path d={cross(x, y, 4)} /> : <path d={`M${x - 3} ${y - 5}l6 5l-6 5`} transform={`rotate(${degrees} ${x} ${y})`} />}
    </g>
  );
}

/** The round trips that this node measured, on its own ways. */
function RoundTrips({ drawn: { view }, at }: { drawn: Drawn; at: ReadonlyMap<string, Place> }) {
  const own = at.get(view.site);
  if (!own) return null;
  const best = new Map<string, number>();
  for (const { site, rtt_ms, connected } of view.members) {
    if (connected && rtt_ms !== null && site !== view.site) best.set(site, Math.min(rtt_ms, best.get(site) ?? Infinity));
  }
  return (
    <g className="round-trips">
      {[...best].map(([site, rtt]) => {
        const to = at.get(site);
        return to && <text key={site} x={own.x + (to.x - own.x) * 0.36} y={own.y + (to.y - own.y) * 0.36} textAnchor="middle" dominantBaseline="central">{rtt < 1 ? "under 1 ms" : wholeMillis(rtt)}</text>;
      })}
    </g>
  );
}

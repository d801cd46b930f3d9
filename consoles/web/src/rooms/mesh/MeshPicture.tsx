// The mesh drawn: sites on a ring, ways between them as lines, the lag as colour, number and word. Above 240 sites, clusters.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import type { MeshView, SiteState } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { count, plural } from "../../parts/format";
import { SITE_LOOKS } from "../../parts/states";
import { Clusters } from "./Clusters";
import { lagText, STEP_WORDS, STEPS, type Seen } from "./lag";
import { OPEN_MOST, RING_MOST } from "./layout";
import type { Reach } from "./reach";
import { waysOf } from "./reach";
import { Ring } from "./Ring";
import { SiteMark } from "./SiteMark";
import { SiteSide } from "./SiteSide";

export interface Drawn {
  view: MeshView;
  reach: Reach;
  /** The sites in scope. */
  seen: readonly Seen[];
  /** Those that a verdict is about. */
  troubled: ReadonlySet<string>;
}

export function MeshPicture({ drawn, old }: { drawn: Drawn; old: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const chosen = drawn.seen.find((each) => each.site === url.focus);
  const pick = useCallback((site: string) => setUrl({ focus: site }, true), [setUrl]);
  const ring = drawn.seen.length <= RING_MOST;
  const ways = useMemo(() => (ring ? waysOf(drawn.reach, inside(drawn.seen)) : []), [ring, drawn.reach, drawn.seen]);
  return (
    <div className={chosen ? "mesh-drawn with-side" : "mesh-drawn"}>
      <div className={old ? "mesh-place old" : "mesh-place"} ref={place}>
        {width > 0 && (ring
          ? <Ring drawn={drawn} ways={ways} width={width} chosen={url.focus} onPick={pick} />
          : <Clusters drawn={drawn} width={width} chosen={url.focus} onPick={pick} />)}
        <Legend seen={drawn.seen} ways={ring ? ways : null} own={drawn.view.site} dueMs={drawn.view.lag_due_ms} />
      </div>
      {chosen && <SiteSide key={chosen.site} drawn={drawn} seen={chosen} onPick={pick} onClose={() => setUrl({ focus: undefined }, true)} />}
    </div>
  );
}

function inside(seen: readonly Seen[]): (site: string) => boolean {
  const names = new Set(seen.map((each) => each.site));
  return (site) => names.has(site);
}

const STATES: readonly SiteState[] = ["here", "live", "stale", "unreachable", "never_heard"];

/** What the colours and lines mean, with how many there are of each. */
function Legend({ seen, ways, own, dueMs }: { seen: readonly Seen[]; ways: readonly { state: string }[] | null; own: string; dueMs: number }) {
  const worst = Math.max(0, ...seen.map((each) => each.lagMs ?? 0));
  const lines = (state: string) => ways?.filter((way) => way.state === state).length ?? 0;
  return (
    <div className="mesh-legend">
      <dl aria-label="Lag">
        <div className="title"><dt>Lag</dt><dd className="faint">worst {lagText(worst)}</dd></div>
        {dueMs > 0 && <div><dt className="faint">beyond {lagText(dueMs)}, in which so many nodes tell theirs</dt></div>}
        {STEPS.map((step) => (
          <div key={step}>
            <dt><svg width="12" height="12" aria-hidden="true"><rect x="1" y="1" width="10" height="10" rx="2" className={`lag-${step}`} /></svg> {STEP_WORDS[step]}</dt>
            <dd>{plural(seen.filter((each) => each.step === step).length, "site")}</dd>
          </div>
        ))}
      </dl>
      {ways && (
        <dl aria-label="State">
          <div className="title"><dt>State</dt></div>
          {STATES.map((state) => (
            <div key={state}>
              <dt><svg width="18" height="18" className="mesh-ring" aria-hidden="true"><g className={`mesh-site ${state}`}><SiteMark state={state} step={state === "never_heard" ? "never" : "now"} place={{ x: 9, y: 9, angle: 0 }} mark={state === "here" ? 4 : 8} plain /></g></svg> {SITE_LOOKS[state].word}</dt>
              <dd>{count(seen.filter((each) => each.state === state).length)}</dd>
            </div>
          ))}
        </dl>
      )}
      {ways && ways.length > 0 && (
        <dl aria-label="Ways">
          <div className="title"><dt>Ways</dt></div>
          {([["open", "open"], ["half", "one direction only"], ["broken", "down"], ["untried", "not tried"]] as const).map(([state, word]) => (
            <div key={state}>
              <dt><svg width="26" height="12" aria-hidden="true"><path d="M1 6h24" className={`way way-${state}`} />{(state === "broken" || state === "half") && <path d={state === "broken" ? "M10 3l6 6M16 3l-6 6" : "M11 2l5 4-5 4"} className={`way-sign way-${state}`} />}</svg> {word}</dt>
              <dd>{count(lines(state))}</dd>
            </div>
          ))}
          {lines("open") > OPEN_MOST && <div className="faint"><dd>open ones are drawn of {own}, and of the site that is pointed at or selected</dd></div>}
        </dl>
      )}
    </div>
  );
}

/** The width of a part of the page in pixels, as it changes; 0 until it is known. */
function useWidth(of: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!of.current) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(of.current);
    return () => observer.disconnect();
  }, [of]);
  return width;
}

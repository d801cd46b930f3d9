// One element, beside whatever room is open: state, what each site says of it, its history, what is next to it.
import { useEffect, useRef } from "react";

import { isLoggedOut } from "../api/client";
import { useElement, useSites } from "../api/queries";
import type { ElementDetail, SiteState } from "../api/types";
import { Button, Copy, ElementLink, Failure, Nothing, State, Time, Waiting } from "../parts/basics";
import { attributeText, plural, span } from "../parts/format";
import { Icon } from "../parts/icons";
import { bestState, SITE_LOOKS } from "../parts/states";
import { useNow } from "./clock";
import { historyWindow, segments } from "./history";
import { useSetUrl, useUrl } from "./scope";
import { WhatIf } from "./WhatIf";
import { ApiError } from "../api/client";

export function ElementPanel() {
  const { el } = useUrl();
  return el ? <Panel key={el} id={el} /> : null;
}

function Panel({ id }: { id: string }) {
  const { at } = useUrl();
  const element = useElement(id, at);
  const setUrl = useSetUrl();
  const heading = useRef<HTMLHeadingElement>(null);
  // A reader at the keyboard lands on what was opened; a page that loads with a selection keeps its own focus.
  useEffect(() => {
    if (document.activeElement && document.activeElement !== document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  const gone = element.error instanceof ApiError && element.error.status === 404;
  return (
    <aside className="element" aria-label="Element">
      <header>
        <div className="titles">
          <p className="faint">{element.data ? kindText(element.data) : "element"}</p>
          <h2 tabIndex={-1} ref={heading}>{element.data?.label ?? id}</h2>
          <p className="mono id" title={id}>{id} <Copy text={id} label="Copy the id" /></p>
        </div>
        <Button icon="close" label="Close" shortcut="Esc" onClick={() => setUrl({ el: undefined, fail: undefined })} />
      </header>
      {element.isPending && <Waiting rows={6} />}
      {gone && <Nothing title="No such element">It was never observed in the history that is kept, or the link is from another mesh.</Nothing>}
      {element.error && !gone && !isLoggedOut(element.error) && <Failure error={element.error} again={() => void element.refetch()} />}
      {element.data && <Detail element={element.data} asked={id} at={at} />}
    </aside>
  );
}

function kindText(element: ElementDetail): string {
  return element.from ? `${element.kind} edge` : element.kind;
}

function Detail({ element, asked, at }: { element: ElementDetail; asked: string; at: string | undefined }) {
  const sites = useSites();
  const states = new Map<string, SiteState>(sites.data?.items.map((site) => [site.site, site.state]));
  const open = element.sites.filter((site) => site.intervals.some((each) => each.to === null));
  const state = bestState(open.map((site) => site.site), states);
  return (
    <>
      <p className="now">
        {open.length > 0 ? <State look={SITE_LOOKS[state]} /> : <span className="state faint">closed: no site observes it now</span>}
        <span className="faint">{open.length > 0 && `observed by ${open.map((site) => site.site).join(", ")}`}</span>
      </p>
      {element.from && element.to && (
        <p className="ends"><ElementLink id={element.from} /><Icon name="out" size={14} /><ElementLink id={element.to} /></p>
      )}
      {element.meant_by && <p className="faint">What {element.meant_by.join(", ")} means by this name. Other sites mean another thing.</p>}
      <WhatIf id={element.meant_by ? asked : element.id} />
      <History element={element} states={states} />
      <Attributes element={element} />
      <Earlier element={element} />
      <OtherNames element={element} />
      <Neighbours element={element} at={at} />
    </>
  );
}

function History({ element, states }: { element: ElementDetail; states: ReadonlyMap<string, SiteState> }) {
  const now = useNow();
  const range = historyWindow(element, now);
  return (
    <section>
      <h3>History by site</h3>
      <div className="history">
        {element.sites.map((site) => {
          const state = states.get(site.site) ?? "never_heard";
          const first = site.intervals[0];
          const last = site.intervals[site.intervals.length - 1];
          return (
            <div key={site.site} className="lane">
              <span className="name">{site.site}</span>
              <svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`${site.site}: ${plural(site.intervals.length, "interval")}, ${last?.to === null ? "open" : "closed"}`}>
                <rect className="ground" width="100" height="8" />
                {segments(site.intervals, range).map((each, n) => (
                  <rect key={n} className={`span ${each.open ? `open ${state}` : ""}`} x={each.x} width={each.width} height="8" />
                ))}
              </svg>
              <span className="faint when">
                {last?.to === null ? <>since <Time iso={last.from} /></> : <>until <Time iso={last?.to} /></>}
                {site.intervals.length > 1 && first && <> · {plural(site.intervals.length - 1, "gap")}</>}
              </span>
            </div>
          );
        })}
      </div>
      <p className="faint axis"><span><Time iso={new Date(range.from).toISOString()} /></span><span>{span(range.to - range.from)}</span><span>now</span></p>
    </section>
  );
}

function Attributes({ element }: { element: ElementDetail }) {
  const bySite = element.sites.filter((site) => Object.keys(site.attributes).length > 0);
  const same = bySite.every((site) => JSON.stringify(site.attributes) === JSON.stringify(bySite[0]?.attributes));
  const groups = same ? bySite.slice(0, 1) : bySite;
  return (
    <section>
      <h3>Attributes</h3>
      {groups.length === 0 && <p className="faint">None were observed.</p>}
      {groups.map((site) => (
        <div key={site.site}>
          {!same && <h4>{site.site}</h4>}
          <dl className="attributes">
            {Object.entries(site.attributes).map(([key, value]) => (
              <div key={key}><dt>{key}</dt><dd className="mono">{attributeText(value)}</dd></div>
            ))}
          </dl>
        </div>
      ))}
    </section>
  );
}

const MOST_EARLIER = 50;

/** What attributes were before, the latest first. */
function Earlier({ element }: { element: ElementDetail }) {
  const values = element.sites.flatMap((site) => site.history.map((past) => ({ ...past, site: site.site })));
  const forgotten = element.sites.filter((site) => site.history_from !== null);
  if (values.length === 0 && forgotten.length === 0) return null;
  values.sort((a, b) => b.until.localeCompare(a.until) || a.key.localeCompare(b.key));
  const several = element.sites.length > 1;
  return (
    <section>
      <h3>Earlier values</h3>
      <dl className="attributes">
        {values.slice(0, MOST_EARLIER).map((past) => (
          <div key={`${past.site} ${past.of} ${past.key} ${past.until} ${attributeText(past.value)}`}>
            <dt>{past.key} <span className="faint">{past.of && `of ${past.of} `}until <Time iso={past.until} />{several && `, at ${past.site}`}</span></dt>
            <dd className="mono">{attributeText(past.value) ?? <span className="faint">not set</span>}</dd>
          </div>
        ))}
      </dl>
      {values.length > MOST_EARLIER && <p className="faint">Showing {MOST_EARLIER} of {values.length}.</p>}
      {forgotten.map((site) => <p key={site.site} className="faint">{site.site} keeps them since <Time iso={site.history_from} />.</p>)}
    </section>
  );
}

/** Names that mean the same thing, and by what evidence. */
function OtherNames({ element }: { element: ElementDetail }) {
  if (element.aliases.length === 0) return null;
  return (
    <section>
      <h3>Other names</h3>
      <ul className="neighbours">
        {element.aliases.map((alias) => (
          <li key={alias.id}>
            <ElementLink id={alias.name} />
            <span className="faint">
              {alias.folded ? "the same thing" : "perhaps the same: it could mean several things, so they stay apart"}
              {Object.values(alias.attributes).map((evidence) => `; ${attributeText(evidence)}`)} ({alias.sites.join(", ")})
            </span>
          </li>
        ))}
      </ul>
      {element.aliases_total > element.aliases.length && <p className="faint">{element.aliases.length} of {element.aliases_total} are shown.</p>}
    </section>
  );
}

const MOST_NEIGHBOURS = 200;

function Neighbours({ element, at }: { element: ElementDetail; at: string | undefined }) {
  if (element.from) return null;
  const shown = element.neighbours.slice(0, MOST_NEIGHBOURS);
  return (
    <section>
      <h3>Next to it <span className="faint">{at && <><Time iso={at} /> · </>}{element.neighbours_total}</span></h3>
      {shown.length === 0 && <p className="faint">Nothing: it has no open edge{at && " at that time"}.</p>}
      <ul className="neighbours">
        {shown.map((each) => (
          <li key={each.edge}>
            <span className="faint" title={each.direction === "out" ? "from here to there" : "from there to here"}><Icon name={each.direction} size={14} /></span>
            <ElementLink id={each.id} />
            <span className="faint kind"><ElementLink id={each.edge} label={each.edge.split("|")[1] ?? "edge"} /></span>
          </li>
        ))}
      </ul>
      {element.neighbours_total > shown.length && <p className="faint">{shown.length} of {element.neighbours_total} are shown.</p>}
    </section>
  );
}

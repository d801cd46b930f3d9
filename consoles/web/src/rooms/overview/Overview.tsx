// The overview: what is wrong, what is not watched, what is heard. Read at night, on a phone as well.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { isLoggedOut } from "../../api/client";
import { usePlanes, useResults, useSites } from "../../api/queries";
import type { Planes, Site, Sites } from "../../api/types";
import { inScope, useScopedTopology, useUrl } from "../../frame/scope";
import { Age, Failure, SameBy, Section, State, Waiting } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { StateMark } from "../../parts/icons";
import { PLANE_LOOKS, SITE_LOOKS, type Tone } from "../../parts/states";
import { failures } from "../tests/results";
import { notWatched, type Gap } from "./gaps";
import "./overview.css";

export function Overview() {
  const sites = useSites();
  const planes = usePlanes();
  if (sites.error && !isLoggedOut(sites.error)) return <div className="room"><Failure error={sites.error} again={() => void sites.refetch()} /></div>;
  return (
    <div className="room overview">
      <header className="room-head"><h1>Overview</h1></header>
      <Figures sites={sites.data} planes={planes.data} />
      <SiteCards sites={sites.data} />
      <div className="two">
        <NotWatched sites={sites.data} planes={planes.data} />
        <Failing />
      </div>
      <SameBy path="/v1/sites" cli="holm status" />
    </div>
  );
}

function Figures({ sites, planes }: { sites: Sites | undefined; planes: Planes | undefined }) {
  const topology = useScopedTopology();
  const results = useResults();
  const url = useUrl();
  const within = inScope(url);
  const heard = sites?.items.filter((site) => site.state === "here" || site.state === "live").length ?? 0;
  const all = sites?.items.length ?? 0;
  const running = planes?.items.filter((plane) => plane.state === "running").length ?? 0;
  const planesAll = planes?.items.length ?? 0;
  const probes = results.data?.items.filter((result) => within(result.site)) ?? [];
  const failed = probes.filter((result) => !result.success).length;
  return (
    <ul className="figures">
      <Figure to="/mesh" name="Sites heard" tone={heard === all ? "ok" : "bad"} value={sites && <>{heard}<small> of {all}</small></>} />
      <Figure to="/topology" name="Elements" tone="ok" value={topology.data && <>{count(topology.data.shown.nodes)}<small> nodes, {count(topology.data.shown.edges)} edges</small></>} />
      <Figure to="/tests" name="Probes failing" tone={failed > 0 ? "bad" : "ok"} value={results.data && (results.data.collector_running ? <>{failed}<small> of {probes.length}</small></> : <small>not measured: no collector runs</small>)} />
      <Figure to="/settings" name="Planes running here" tone={running === planesAll ? "ok" : "warn"} value={planes && <>{running}<small> of {planesAll}</small></>} />
    </ul>
  );
}

function Figure({ to, name, value, tone }: { to: "/mesh" | "/topology" | "/tests" | "/settings"; name: string; value: ReactNode; tone: Tone }) {
  return (
    <li>
      <Link to={to} search={(search) => search} className="figure">
        <span className="name">{name} {tone !== "ok" && value && <StateMark mark={tone === "bad" ? "square" : "triangle"} tone={tone} />}</span>
        <span className="value">{value ?? <span className="faint">…</span>}</span>
      </Link>
    </li>
  );
}

function SiteCards({ sites }: { sites: Sites | undefined }) {
  const url = useUrl();
  if (!sites) return <Waiting rows={3} />;
  const within = inScope(url);
  return (
    <Section title="Sites" note={<>as {sites.self_site} sees them</>} flush>
      <ul className="sites">
        {sites.items.filter((site) => within(site.site)).map((site) => <li key={site.site}><SiteCard site={site} /></li>)}
      </ul>
    </Section>
  );
}

function SiteCard({ site }: { site: Site }) {
  const look = SITE_LOOKS[site.state];
  return (
    <Link to="/topology" search={(search) => ({ ...search, site: site.site })} className={`site ${site.state}`} title={`${site.site}: ${look.means}`}>
      <span className="top"><span className="name">{site.site}</span><State look={look} /></span>
      <span className="line"><span className="faint">picture as of</span> <Age iso={site.as_of} /></span>
      <span className="line"><span className="faint">{plural(site.nodes.length, "node")} of the mesh</span> <span>{count(site.elements.nodes)} nodes · {count(site.elements.edges)} edges</span></span>
    </Link>
  );
}

function NotWatched({ sites, planes }: { sites: Sites | undefined; planes: Planes | undefined }) {
  const topology = useScopedTopology();
  const gaps = notWatched(sites, planes, topology.data);
  return (
    <Section title="Not watched" note={sites && planes ? (gaps.length === 0 ? null : gaps.length) : null}>
      {!sites || !planes ? <Waiting rows={3} /> : gaps.length === 0 ? (
        <p className="all-well"><StateMark mark="disk" tone="ok" /> Every site is heard and every plane here runs.</p>
      ) : (
        <ul className="gaps">{gaps.map((gap) => <li key={gap.text}><GapLine gap={gap} /></li>)}</ul>
      )}
    </Section>
  );
}

function GapLine({ gap }: { gap: Gap }) {
  const look = gap.kind === "site" ? SITE_LOOKS[gap.state] : gap.kind === "plane" ? PLANE_LOOKS[gap.state] : { mark: "dash", tone: "unknown" } as const;
  return (
    <>
      <StateMark mark={look.mark} tone={look.tone} />
      <div>
        <p>{gap.text}</p>
        {gap.remedy && <p className="faint">What to do: {gap.remedy}</p>}
      </div>
    </>
  );
}

const SHOWN_FAILURES = 8;

function Failing() {
  const results = useResults();
  const url = useUrl();
  const failing = failures(results.data, inScope(url));
  return (
    <Section title="Failing probes" note={failing.length > 0 ? failing.length : null} actions={<Link to="/tests" search={(search) => search} className="link">All results</Link>}>
      {!results.data ? <Waiting rows={3} /> : !results.data.collector_running ? (
        <p className="faint">Not measured: no collector runs at this node.</p>
      ) : failing.length === 0 ? (
        <p className="all-well"><StateMark mark="disk" tone="ok" /> {results.data.items.length === 0 ? "No probe has run yet." : "Every latest probe succeeded."}</p>
      ) : (
        <ul className="failures">
          {failing.slice(0, SHOWN_FAILURES).map((each) => (
            <li key={`${each.site} ${each.probe} ${each.target}`}>
              <StateMark mark="square" tone="bad" />
              <div>
                <p><strong>{each.site}</strong> <span className="faint">→</span> <span className="mono">{each.target}</span> <span className="tag">{each.probe}</span></p>
                <p className="dim">{each.error ?? "failed without a reason"}</p>
              </div>
              <span className="faint when"><Age iso={each.observed_at} /></span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

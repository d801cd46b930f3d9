// Legend and filter in one: kinds with their shapes, sites with their states.
import { useMemo } from "react";

import type { EdgeKind, NodeKind, Topology } from "../../api/types";
import { split, toggle } from "../../frame/search";
import { useSetUrl, useUrl } from "../../frame/scope";
import { count } from "../../parts/format";
import { OUTLINES } from "../../parts/graph/svg";
import { StateMark } from "../../parts/icons";
import { SITE_LOOKS } from "../../parts/states";

const NODE_KINDS: readonly NodeKind[] = ["service", "host", "agent", "hop", "device", "prefix", "as", "site"];
const EDGE_KINDS: readonly EdgeKind[] = ["flow", "path", "routing", "device"];

export function Filters({ topology }: { topology: Topology }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const hidden = split(url.hide);
  const chosen = split(url.site);
  const kinds = useMemo(() => {
    const tally = new Map<string, number>();
    for (const node of topology.nodes) tally.set(node.kind, (tally.get(node.kind) ?? 0) + 1);
    return tally;
  }, [topology]);
  const edges: Record<EdgeKind, number> = {
    flow: topology.coverage.flow_edges, path: topology.coverage.path_edges, routing: topology.coverage.routing_edges, device: topology.coverage.device_edges,
  };

  return (
    <div className="filters">
      <div role="group" aria-label="Sites">
        {topology.freshness.sites.map((site) => {
          const on = chosen.length === 0 || chosen.includes(site.site);
          const look = SITE_LOOKS[site.state];
          return (
            <button key={site.site} type="button" className="filter" aria-pressed={on} title={`${site.site}: ${look.word}, ${look.means}`} onClick={() => setUrl({ site: toggle(url.site, site.site) })}>
              <StateMark mark={look.mark} tone={look.tone} /> {site.site}
            </button>
          );
        })}
      </div>
      <div role="group" aria-label="Kinds of nodes">
        {NODE_KINDS.filter((kind) => kinds.has(kind)).map((kind) => (
          <button key={kind} type="button" className="filter" aria-pressed={!hidden.includes(kind)} onClick={() => setUrl({ hide: toggle(url.hide, kind) })}>
            <Shape kind={kind} /> {kind} <span className="faint">{count(kinds.get(kind) ?? 0)}</span>
          </button>
        ))}
      </div>
      <div role="group" aria-label="Kinds of edges">
        {EDGE_KINDS.filter((kind) => edges[kind] > 0 && !NODE_KINDS.includes(kind as NodeKind)).map((kind) => (
          <button key={kind} type="button" className="filter" aria-pressed={!hidden.includes(kind)} onClick={() => setUrl({ hide: toggle(url.hide, kind) })}>
            <Line /> {kind} <span className="faint">{count(edges[kind])}</span>
          </button>
        ))}
      </div>
      <div className="legend faint" aria-hidden="true">
        <span><Line /> observed</span>
        <span><Line dashed /> inferred</span>
      </div>
    </div>
  );
}

function Shape({ kind }: { kind: NodeKind }) {
  return (
    <svg width="11" height="11" viewBox="-1.1 -1.1 2.2 2.2" aria-hidden="true">
      <polygon points={OUTLINES[kind].map((p) => p.join(",")).join(" ")} fill="currentColor" />
    </svg>
  );
}

function Line({ dashed = false }: { dashed?: boolean }) {
  return (
    <svg width="18" height="8" viewBox="0 0 18 8" aria-hidden="true">
      <path d="M0 4h13" stroke="currentColor" strokeWidth="1.5" strokeDasharray={dashed ? "3.5 2.5" : undefined} />
      <path d="M13 1.5L18 4l-5 2.5z" fill="currentColor" />
    </svg>
  );
}

// Thousands of sites: a cell each, in clusters of those that lag alike, the worst first. A cluster opens as a list.
import { useMemo, useState, type PointerEvent } from "react";

import { count, plural } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { PickList } from "../../parts/pick";
import { SITE_LOOKS } from "../../parts/states";
import { clustersOf, lagText, STEP_WORDS, type Cluster } from "./lag";
import { cellAt, cells } from "./layout";
import type { Drawn } from "./MeshPicture";

interface Props {
  drawn: Drawn;
  width: number;
  chosen: string | undefined;
  onPick: (site: string) => void;
}

export function Clusters({ drawn, width, chosen, onPick }: Props) {
  const clusters = useMemo(() => clustersOf(drawn.seen), [drawn.seen]);
  return (
    <div className="mesh-clusters">
      <p className="faint">A cell a site, by lag; ways are not drawn for so many. {plural(drawn.reach.viewed.size, "site has", "sites have")} said lately whom they reach.</p>
      {clusters.map((cluster) => <OneCluster key={cluster.step} cluster={cluster} troubled={drawn.troubled} all={drawn.seen.length} own={drawn.view.site} width={width} chosen={chosen} onPick={onPick} />)}
    </div>
  );
}

function OneCluster({ cluster, troubled, all, own, width, chosen, onPick }: { cluster: Cluster; troubled: ReadonlySet<string>; all: number; own: string; width: number; chosen: string | undefined; onPick: (site: string) => void }) {
  const [open, setOpen] = useState(false);
  const [over, setOver] = useState<number | undefined>(undefined);
  const { sites, step, medianMs, worstMs } = cluster;
  const field = cells(sites.length, Math.max(80, width - 34), all);
  const { columns, rows, pitch } = field;
  const d = (which: (index: number) => boolean, shape: (x: number, y: number) => string) =>
    sites.map((_, n) => (which(n) ? shape((n % columns) * pitch + 1, Math.floor(n / columns) * pitch + 1) : "")).join("");
  const edge = pitch - 3;
  const box = (x: number, y: number) => `M${x} ${y}h${edge}v${edge}h${-edge}z`;
  const tick = (x: number, y: number) => `M${x + 1} ${y + 1}l${edge - 2} ${edge - 2}m0 ${2 - edge}l${2 - edge} ${edge - 2}`;
  const under = (event: PointerEvent) => {
    const rect = event.currentTarget.getBoundingClientRect();
    return cellAt(event.clientX - rect.left, event.clientY - rect.top, sites.length, field);
  };
  const hovered = over === undefined ? undefined : sites[over];
  const trouble = sites.filter((each) => troubled.has(each.site)).length;
  return (
    <section className="mesh-cluster" aria-label={`Lag ${STEP_WORDS[step]}`}>
      <button type="button" className="cluster-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={12} />
        <strong>{STEP_WORDS[step]}</strong>
        <span>{plural(sites.length, "site")}</span>
        {worstMs !== null && <span className="faint">median {lagText(medianMs)}, worst {lagText(worstMs)}</span>}
        {trouble > 0 && <span>✕ {count(trouble)} with a verdict</span>}
        <span className="grow" />
        {hovered && <span className="dim" aria-hidden="true">{hovered.site}: {SITE_LOOKS[hovered.state].word}, {lagText(hovered.lagMs)}</span>}
      </button>
      <svg width={columns * pitch} height={rows * pitch} role="img" aria-label={`${plural(sites.length, "site")}, lag ${STEP_WORDS[step]}`} className={over === undefined ? "cells" : "cells over"}
        onPointerMove={(event) => setOver(under(event))} onPointerLeave={() => setOver(undefined)}
        onClick={(event) => {
          const rect = event.currentTarget.getBoundingClientRect();
          const site = sites[cellAt(event.clientX - rect.left, event.clientY - rect.top, sites.length, field) ?? -1];
          if (site) onPick(site.site);
        }}>
        <path d={d(() => true, box)} className={`lag-${step}`} />
        <path d={d((n) => troubled.has(sites[n]?.site ?? ""), tick)} className="cell-trouble" />
        <path d={d((n) => sites[n]?.site === own || sites[n]?.site === chosen, box)} className="cell-chosen" />
        {over !== undefined && <path d={d((n) => n === over, box)} className="cell-over" />}
      </svg>
      {open && (
        <div className="cluster-list">
          <PickList label={`Sites with a lag of ${STEP_WORDS[step]}`} items={sites} itemKey={(each) => each.site} rowPx={30} chosen={(each) => each.site === chosen} onPick={(each) => onPick(each.site)}
            show={(each) => <><span className="grow">{each.site}</span><span className="faint">{SITE_LOOKS[each.state].word}</span><span>{lagText(each.lagMs)}</span></>} />
        </div>
      )}
    </section>
  );
}

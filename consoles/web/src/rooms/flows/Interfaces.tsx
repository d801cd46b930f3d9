// How full interfaces are, by the flows that went through them: the busiest first, and the chosen one over time.
import * as ToggleGroup from "@radix-ui/react-toggle-group";
import { useMemo, useState } from "react";

import { flowPath, isLoggedOut } from "../../api/client";
import { useFlowCapacity } from "../../api/queries";
import type { FlowCapacity, FlowInterface } from "../../api/types";
import { useNow } from "../../frame/clock";
import { useKeys } from "../../frame/keys";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Failure, Nothing, SameBy, Section, Waiting } from "../../parts/basics";
import { plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { Standing, Windows } from "./Explore";
import { interfaceName, interfaceSeries, rateText, sparkline, USUAL_WINDOW } from "./flows";
import { SeriesPicture } from "./SeriesPicture";

const COLUMNS: readonly Column<FlowInterface>[] = [
  { id: "interface", title: "Interface", width: "minmax(120px, 1fr)", value: interfaceName, show: (row) => <span title={`index ${row.interface}`}>{interfaceName(row)}</span> },
  { id: "exporter", title: "Exporter", width: "minmax(120px, 1fr)", value: (row) => row.exporter, show: (row) => <span className="mono">{row.exporter}</span> },
  { id: "site", title: "At site", width: "minmax(72px, 0.5fr)", value: (row) => row.site },
  { id: "bps", title: "Over time", width: "140px", value: (row) => row.peak_bps, show: (row) => <Spark values={row.bps} /> },
  { id: "mean_bps", title: "Mean", width: "104px", numeric: true, value: (row) => row.mean_bps, show: (row) => rateText(row.mean_bps, "bit/s") },
  { id: "p95_bps", title: "95 %", width: "104px", numeric: true, value: (row) => row.p95_bps, show: (row) => <span title="95 of 100 buckets have no more">{rateText(row.p95_bps, "bit/s")}</span> },
  { id: "peak_bps", title: "Peak", width: "104px", numeric: true, value: (row) => row.peak_bps, show: (row) => rateText(row.peak_bps, "bit/s") },
  { id: "speed_bps", title: "Speed", width: "96px", numeric: true, value: (row) => row.speed_bps, show: (row) => (row.speed_bps === null ? <span className="faint" title="only sFlow's counters tell it">not told</span> : rateText(row.speed_bps, "bit/s")) },
  { id: "peak_utilization", title: "Peak of speed", width: "128px", numeric: true, value: (row) => row.peak_utilization, show: (row) => <Full part={row.peak_utilization} /> },
];

export function Interfaces({ off }: { off: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const direction = url.way ?? "in";
  const query = { window: url.window ?? USUAL_WINDOW, to: url.at, filter: url.filter, site: url.site, direction };
  const answer = useFlowCapacity(query);
  const again = () => void answer.refetch();
  useKeys({ r: again });
  return (
    <>
      <div className="flow-controls">
        <ToggleGroup.Root className="toggle" type="single" value={direction} aria-label="Which way" onValueChange={(next) => next && setUrl({ way: next === "in" ? undefined : "out" })}>
          <ToggleGroup.Item value="in">What came in</ToggleGroup.Item>
          <ToggleGroup.Item value="out">What left</ToggleGroup.Item>
        </ToggleGroup.Root>
        <Windows value={query.window} onValue={(next) => setUrl({ window: next === USUAL_WINDOW ? undefined : next })} />
        {url.filter && <Button icon="close" onClick={() => setUrl({ filter: undefined })}>Only {url.filter}</Button>}
        <span className="grow" />
        <Button icon="again" label={answer.isFetching ? "Asking" : "Ask again"} shortcut="r" disabled={answer.isFetching} onClick={again} />
      </div>
      {answer.error && !isLoggedOut(answer.error) && <Failure error={answer.error} again={again} />}
      {answer.isPending && <Waiting rows={6} />}
      {answer.data && <Standing stands={answer.data.stands_on} off={off} scaled onAgain={again} />}
      {answer.data && <Busiest answer={answer.data} earlier={answer.isPlaceholderData} />}
      <SameBy path={flowPath("/capacity", query)} cli={`holm flow capacity --direction ${direction} --window ${query.window}`} />
    </>
  );
}

function Busiest({ answer, earlier }: { answer: FlowCapacity; earlier: boolean }) {
  const now = useNow();
  const [open, setOpen] = useState<string | null>(null);
  const chosen = answer.items.find((row) => keyOf(row) === open) ?? answer.items[0];
  const series = useMemo(() => chosen && interfaceSeries(answer, chosen), [answer, chosen]);
  useKeys({ Escape: () => setOpen(null) });
  if (answer.items.length === 0) return <Section title="Interfaces"><Nothing title="No interface was told">No record of this window names an interface that it {answer.direction === "in" ? "came in by" : "left by"}.</Nothing></Section>;
  return (
    <div className={`flow-answer${earlier ? " earlier" : ""}`} aria-busy={earlier}>
      {chosen && series && (
        <Section title={`${interfaceName(chosen)} of ${chosen.exporter}`} note={noteOf(answer, chosen)}>
          <SeriesPicture series={series} previous={undefined} nowMs={now} marked={null} onMark={() => undefined} />
        </Section>
      )}
      <Section title="Interfaces" note={`${plural(answer.items.length, "interface")}, the busiest first`} actions={<ExportMenu what="flow-interfaces" at={answer.stands_on.to} columns={COLUMNS} rows={answer.items} />} flush>
        <Table label="Interfaces" columns={COLUMNS} rows={answer.items} rowKey={keyOf} onOpen={(row) => setOpen(keyOf(row))} selected={(row) => row === chosen} empty="" maxRows={12} />
      </Section>
    </div>
  );
}

const keyOf = (row: FlowInterface) => `${row.site} ${row.exporter} ${row.interface} ${row.counted_at_egress}`;

function noteOf(answer: FlowCapacity, row: FlowInterface): string {
  if (answer.direction === "in") return "what came in by it, each flow over the time it lasted";
  return row.counted_at_egress ? "what left by it, counted as it left" : "what left by it, counted as it came in by others";
}

function Spark({ values }: { values: readonly number[] }) {
  return <svg className="flow-spark" viewBox="0 0 120 20" width={120} height={20} aria-hidden="true"><path d={sparkline(values, 120, 20)} /></svg>;
}

function Full({ part }: { part: number | null }) {
  if (part === null) return <span className="faint" title="its speed is not known">–</span>;
  const tone = part >= 0.95 ? "tone-bad" : part >= 0.8 ? "tone-warn" : "";
  return <span className="flow-share"><span className="track"><span style={{ width: `${Math.min(100, part * 100)}%` }} /></span><span className={tone}>{(part * 100).toFixed(1)} %</span></span>;
}

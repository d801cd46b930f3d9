// The explorer: which flows, by what, over which time; as a picture and as rows.
import * as ToggleGroup from "@radix-ui/react-toggle-group";
import { useMemo, useRef, useState } from "react";

import { ApiError, flowPath, isLoggedOut, type FlowQuery } from "../../api/client";
import { useFlowLanguage, useFlowRecords, useFlowSankey, useFlowSeries, useFlowTop } from "../../api/queries";
import type { FlowGroup, FlowKeyPart, FlowLanguage, FlowRecords, FlowSeries, FlowStanding, FlowTop } from "../../api/types";
import { useNow } from "../../frame/clock";
import { useKeys } from "../../frame/keys";
import { split } from "../../frame/search";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Drop, Failure, Nothing, SameBy, Section, Waiting } from "../../parts/basics";
import { download, fileName } from "../../parts/export";
import { count, moment, plural } from "../../parts/format";
import { Icon, StateMark } from "../../parts/icons";
import { StandsOn } from "../../parts/StandsOn";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { ExportRows, RowsAndRecord } from "../ask/Answer";
import { FilterField } from "./FilterField";
import { amountText, baseQuery, change, changeText, conditions, filterTrouble, keyId, narrowed, partText, previousQuery, recordsAsAnswer, sankeyQuery, seriesQuery, topQuery, USUAL_WINDOW, windowMs, WINDOWS, type Metric } from "./flows";
import { bandFill, SeriesPicture } from "./SeriesPicture";
import { SankeyDiagram, sankeyColumns, sankeyRows } from "./SankeyDiagram";

const PICTURES = ["series", "sankey", "records"] as const;
const MOST_RECORDS = 500;

export function Explore({ off }: { off: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const language = useFlowLanguage();
  const field = useRef<HTMLInputElement>(null);
  const picture = url.chart ?? "series";
  const metric: Metric = url.metric ?? "bytes";
  const ofTop = topQuery(url);
  const top = useFlowTop(ofTop);
  // One after the other: a node works on a few questions at once, and a colleague may ask as well.
  const ready = !top.isFetching && !top.isError;
  const series = useFlowSeries(seriesQuery(url, top.data?.stands_on), ready && !top.isPlaceholderData && picture === "series");
  const sankey = useFlowSankey(sankeyQuery(url), ready && picture === "sankey");
  const ofRecords: FlowQuery = { ...baseQuery(url), limit: MOST_RECORDS };
  const records = useFlowRecords(ofRecords, ready && picture === "records");
  const before = useFlowSeries(series.data ? previousQuery(url, series.data) : {}, url.prev === "1" && picture === "series" && series.data !== undefined && !series.isFetching && !series.isPlaceholderData);
  const shown = { series, sankey, records }[picture];
  const again = () => void top.refetch().then(async () => { if (picture !== "series") await shown.refetch(); });
  useKeys({
    i: () => field.current?.focus(),
    d: () => { const next = PICTURES[(PICTURES.indexOf(picture) + 1) % PICTURES.length]; setUrl({ chart: next === "series" ? undefined : next }); },
    p: () => setUrl({ prev: url.prev === "1" ? undefined : "1", once: undefined }),
    r: again,
  });
  const busy = top.isFetching || shown.isFetching;
  const error = top.error ?? shown.error;
  const wrong = error instanceof ApiError ? filterTrouble(error.message, url.filter ?? "") : null;
  const narrow = (key: readonly FlowKeyPart[]) => setUrl({ filter: narrowed(url.filter, key) });
  const empty = top.data && !top.isPlaceholderData && top.data.total.flows === 0;
  const path = picture === "records" ? flowPath("", ofRecords) : flowPath("/top", ofTop);
  return (
    <>
      <div className="flow-question">
        <FilterField ref={field} filter={url.filter ?? ""} onFilter={(filter) => setUrl({ filter })} trouble={wrong} />
        <ToggleGroup.Root className="toggle" type="single" value={picture} aria-label="Shown as" onValueChange={(next) => next && setUrl({ chart: next === "series" ? undefined : next })}>
          <ToggleGroup.Item value="series">Over time</ToggleGroup.Item>
          <ToggleGroup.Item value="sankey">Diagram</ToggleGroup.Item>
          <ToggleGroup.Item value="records">Records</ToggleGroup.Item>
        </ToggleGroup.Root>
        <Button icon="again" label={busy ? "Asking" : "Ask again"} shortcut="r" disabled={busy} onClick={again} />
      </div>
      <Controls language={language.data} />
      {error && !wrong && !isLoggedOut(error) && <Failure error={error} again={again} />}
      {top.data && <Standing stands={top.data.stands_on} dedup={top.data.dedup} unscaled={top.data.unscaled} off={off} scaled onAgain={again} />}
      {empty && !off && <Section title="Flows"><Nothing title="No flows here">{url.filter ? <>None fit the filter in this window. <Button onClick={() => setUrl({ filter: undefined })}>All flows</Button></> : <>Nothing was received in this window{url.site ? ` at ${url.site}` : ""}. Send NetFlow, IPFIX or sFlow to the collector, or look at the <Button onClick={() => setUrl({ tab: "exporters" })}>exporters</Button></>}</Nothing></Section>}
      {!error && top.isPending && <Waiting rows={10} />}
      {top.data && !empty && !top.error && (
        <div className={`flow-answer${top.isPlaceholderData ? " earlier" : ""}`} aria-busy={top.isPlaceholderData}>
          {picture === "series" && <Over top={top.data} series={series.data} previous={url.prev === "1" && !before.isPlaceholderData ? before.data : undefined} metric={metric} language={language.data} onKey={narrow} waiting={series.isPending} />}
          {picture === "sankey" && (
            <Section title="From where to where" note={sankey.data?.by.join(" → ")} actions={sankey.data && <ExportMenu what="flows-sankey" at={sankey.data.stands_on.to} columns={sankeyColumns(metric)} rows={sankeyRows(sankey.data)} more={[{ name: "SVG", run: () => saveSvg("sankey", sankey.data.stands_on.to) }]} />}>
              {sankey.data ? <SankeyDiagram answer={sankey.data} metric={metric} language={language.data} onKey={narrow} /> : sankey.isPending && <Waiting rows={8} />}
            </Section>
          )}
          {picture === "records" && <Records pages={records.data?.pages} waiting={records.isPending} more={records.hasNextPage ? () => void records.fetchNextPage() : undefined} busy={records.isFetchingNextPage} />}
        </div>
      )}
      <SameBy path={path} />
    </>
  );
}

function Controls({ language }: { language: FlowLanguage | undefined }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const window = url.window ?? USUAL_WINDOW;
  return (
    <div className="flow-controls">
      <Dimensions language={language} />
      <ToggleGroup.Root className="toggle" type="single" value={url.metric ?? "bytes"} aria-label="Ordered by" onValueChange={(next) => next && setUrl({ metric: next === "bytes" ? undefined : next })}>
        <ToggleGroup.Item value="bytes">Bytes</ToggleGroup.Item>
        <ToggleGroup.Item value="packets">Packets</ToggleGroup.Item>
        <ToggleGroup.Item value="flows">Flows</ToggleGroup.Item>
      </ToggleGroup.Root>
      <Windows value={window} onValue={(next) => setUrl({ window: next === USUAL_WINDOW ? undefined : next })} />
      <button type="button" className="button check" aria-pressed={url.prev === "1"} title="Beside each group what it had in the window before (p)" onClick={() => setUrl({ prev: url.prev === "1" ? undefined : "1", once: undefined })}><Icon name={url.prev === "1" ? "check" : "clock"} size={14} /> Window before</button>
      <button type="button" className="button check" aria-pressed={url.once === "1"} title="A flow that several exporters saw counts once" onClick={() => setUrl({ once: url.once === "1" ? undefined : "1", prev: undefined })}><Icon name={url.once === "1" ? "check" : "layout"} size={14} /> Count once</button>
    </div>
  );
}

export function Windows({ value, onValue }: { value: string; onValue: (window: string) => void }) {
  const all = [...new Set<string>([...WINDOWS, value])].sort((a, b) => windowMs(a) - windowMs(b));
  return (
    <ToggleGroup.Root className="toggle" type="single" value={value} aria-label="Window" onValueChange={(next) => next && onValue(next)}>
      {all.map((each) => <ToggleGroup.Item key={each} value={each}>{each.replace(/(\d)([mhd])/, "$1 $2").replace(" m", " min")}</ToggleGroup.Item>)}
    </ToggleGroup.Root>
  );
}

/** What flows are grouped by: up to five, in the order of the columns. */
function Dimensions({ language }: { language: FlowLanguage | undefined }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const chosen = split(url.dims ?? "src");
  const names = chosen.map((name) => language?.dimensions.find((each) => each.name === name)?.text ?? name);
  const change = (name: string) => {
    const next = chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name].slice(-5);
    setUrl({ dims: next.length === 0 || next.join() === "src" ? undefined : next.join(",") });
  };
  return (
    <Drop trigger={<><Icon name="ranking" size={14} /> <span>By {names.join(", ")}</span> <Icon name="chevron" size={12} /></>} label={`Grouped by ${names.join(", ")}`}>
      <p className="faint">Grouped by, up to five</p>
      <ul className="menu flow-dims">
        {language?.dimensions.map((each) => {
          const on = chosen.includes(each.name);
          const local = url.once === "1" && !each.of_flow;
          return (
            <li key={each.name}>
              <button type="button" aria-pressed={on} disabled={local} title={local ? "exporters do not say the same of it, so flows cannot be counted once by it" : each.name} onClick={() => change(each.name)}>
                <span className="check">{on && <Icon name="check" size={14} />}</span>
                <span className="grow">{each.text}</span>
                <span className="faint mono">{on ? chosen.indexOf(each.name) + 1 : each.name}</span>
              </button>
            </li>
          );
        })}
      </ul>
    </Drop>
  );
}

/** What the answer stands on: above it. */
export function Standing({ stands, dedup, unscaled, off, scaled = false, onAgain }: { stands: FlowStanding; dedup?: string | null; unscaled?: number; off: boolean; scaled?: boolean; onAgain: () => void }) {
  const now = useNow();
  return (
    <div className="flow-stands">
      {!stands.collector_running && !off && <p className="notice tone-warn-soft" role="note"><StateMark mark="slash" tone="warn" /> <span><strong>This site collects no flows:</strong> {stands.collector_reason || "it gives no reason"}. Below is what other sites received.</span></p>}
      {(unscaled ?? 0) > 0 && <p className="notice quiet" role="note"><span className="sign" aria-hidden="true">≈</span><span>Of {plural(unscaled ?? 0, "record")} nobody told the sampling rate: they count as they are.</span></p>}
      {dedup && <p className="notice quiet" role="note"><span className="sign" aria-hidden="true">≈</span><span><strong>Counted once:</strong> {dedup}.</span></p>}
      <StandsOn answer={{ sites: stands.sites, approximations: stands.approximations }} onAgain={onAgain} note={<>received from {moment(stands.from, now)} to {moment(stands.to, now)}{scaled && " · counts times the sampling rate"}</>} />
    </div>
  );
}

interface OverProps {
  top: FlowTop;
  series: FlowSeries | undefined;
  previous: FlowSeries | undefined;
  metric: Metric;
  language: FlowLanguage | undefined;
  waiting: boolean;
  onKey: (key: readonly FlowKeyPart[]) => void;
}

/** The picture over time and the groups as rows, numbered alike. */
function Over({ top, series, previous, metric, language, waiting, onKey }: OverProps) {
  const now = useNow();
  const [marked, setMarked] = useState<number | null>(null);
  const ranks = useMemo(() => new Map(series?.series.map((line, n) => [keyId(line.key), n])), [series]);
  const columns = useMemo(() => groupColumns(top, metric, language, ranks), [top, metric, language, ranks]);
  const sums = top.total;
  return (
    <>
      <Section title="Over time" note={series && `in ${series.unit}, each flow over the time it lasted`} actions={series && <SeriesExport series={series} />}>
        {series ? <SeriesPicture series={series} previous={previous} nowMs={now} marked={marked} onMark={setMarked} /> : waiting && <Waiting rows={8} />}
      </Section>
      <Section title="Largest groups" note={`${amountText(sums, "bytes")}, ${count(sums.packets)} packets, ${plural(sums.flows, "flow record")} in all`} actions={<ExportMenu what="flows-top" at={top.stands_on.to} columns={columns} rows={top.items} />} flush>
        <Table label="Largest groups" columns={columns} rows={top.items} rowKey={(row) => keyId(row.key)} onOpen={(row) => onKey(row.key)} selected={(row) => marked !== null && ranks.get(keyId(row.key)) === marked} empty="No flows fit." maxRows={12} />
      </Section>
    </>
  );
}

function groupColumns(top: FlowTop, metric: Metric, language: FlowLanguage | undefined, ranks: ReadonlyMap<string, number>): Column<FlowGroup>[] {
  const parts = top.items[0]?.key ?? [];
  const keys = parts.map(({ field }, n): Column<FlowGroup> => ({
    id: field,
    title: title(field, language),
    width: "minmax(130px, 1.2fr)",
    value: (row) => { const part = row.key[n]; return part ? partText(part) : null; },
    show: (row) => {
      const part = row.key[n];
      if (!part) return null;
      return part.value === null ? <span className="faint" title="exporters did not tell">not told</span> : <span className="mono" title={conditions([part]) === null ? undefined : `Enter or a click: only ${keyTitle(row)}`}>{partText(part)}</span>;
    },
  }));
  return [
    { id: "rank", title: "#", width: "74px", value: (row) => top.items.indexOf(row) + 1, show: (row) => <Rank n={top.items.indexOf(row)} band={ranks.get(keyId(row.key))} groups={ranks.size} /> },
    ...keys,
    ...(["bytes", "packets", "flows"] as const).map((each): Column<FlowGroup> => ({ id: each, title: { bytes: "Bytes", packets: "Packets", flows: "Flows" }[each], width: "104px", numeric: true, value: (row) => row[each], show: (row) => <span title={count(row[each])} className={each === metric ? "strong" : ""}>{amountText(row, each)}</span> })),
    { id: "share", title: "Share", width: "128px", numeric: true, value: (row) => row.share, show: (row) => <Share share={row.share} /> },
    ...(top.items.some((row) => row.previous) ? [{ id: "change", title: "Before", width: "92px", numeric: true, value: (row: FlowGroup) => change(row, metric), show: (row: FlowGroup) => <span title={row.previous ? `${amountText(row.previous, metric)} in the window before` : undefined}>{changeText(row, metric)}</span> }] : []),
  ];
}

function keyTitle(row: FlowGroup): string {
  return row.key.map(partText).join(", ");
}

function title(field: string, language: FlowLanguage | undefined): string {
  const dimension = language?.dimensions.find((each) => each.name === field && each.fields.length === 1);
  return dimension?.text ?? field;
}

function Rank({ n, band, groups }: { n: number; band: number | undefined; groups: number }) {
  return <span className="flow-rank"><span className={band === undefined ? "swatch none" : "swatch"} style={band === undefined ? undefined : { background: bandFill(band, groups) }} />{n + 1}</span>;
}

function Share({ share }: { share: number | null }) {
  if (share === null) return <span className="faint" title="not known where flows are counted once">–</span>;
  return <span className="flow-share"><span className="track"><span style={{ width: `${Math.min(100, share * 100)}%` }} /></span>{share * 100 < 0.1 && share > 0 ? "< 0.1" : (share * 100).toFixed(1)} %</span>;
}

function SeriesExport({ series }: { series: FlowSeries }) {
  const rows = series.buckets.map((at, n) => ({ at, values: [...series.series.map((line) => line.values[n] ?? 0), series.other[n] ?? 0] }));
  const names = [...series.series.map((line) => line.key.map(partText).join(" ")), "all others"];
  const columns: Column<(typeof rows)[number]>[] = [{ id: "at", title: "At", value: (row) => row.at }, ...names.map((name, n): Column<(typeof rows)[number]> => ({ id: `${name} ${series.unit}`, title: name, value: (row) => row.values[n] ?? 0 }))];
  return <ExportMenu what="flows-series" at={series.stands_on.to} columns={columns} rows={rows} more={[{ name: "SVG", run: () => saveSvg("series", series.stands_on.to) }]} />;
}

/** The picture with the colours that it has now, as a file that stands for itself. */
function saveSvg(which: "series" | "sankey", at: string): void {
  const svg = document.querySelector<SVGSVGElement>(`[data-picture="${which}"] > svg`);
  if (!svg) return;
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = svg.querySelectorAll<SVGElement>("*");
  copy.querySelectorAll<SVGElement>("*").forEach((element, n) => {
    const source = from[n];
    if (!source) return;
    const style = getComputedStyle(source);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "stroke-opacity", "opacity", "font-size", "font-family", "font-weight", "paint-order"]) element.style.setProperty(name, style.getPropertyValue(name));
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.style.background = getComputedStyle(document.documentElement).getPropertyValue("background-color");
  download(fileName(`flows-${which}`, at, "svg"), "image/svg+xml", new XMLSerializer().serializeToString(copy));
}

function Records({ pages, waiting, more, busy }: { pages: readonly FlowRecords[] | undefined; waiting: boolean; more: (() => void) | undefined; busy: boolean }) {
  const [row, setRow] = useState<number | null>(null);
  const query = useMemo(() => {
    const last = pages?.[pages.length - 1];
    return last && { items: pages.flatMap((page) => page.items as Record<string, unknown>[]), cut: last.next !== null, stands_on: last.stands_on };
  }, [pages]);
  const answer = useMemo(() => query && recordsAsAnswer(query.items, query.cut), [query]);
  useKeys({ Escape: () => setRow(null) });
  return (
    <Section title="Records" flush note={query && (query.cut ? `the latest ${plural(query.items.length, "record")}; there are more` : `${plural(query.items.length, "record")}, latest first`)} actions={answer && query && <>{more && <Button disabled={busy} onClick={more}>{busy ? "Asking for more" : `${MOST_RECORDS} more`}</Button>}<ExportRows answer={answer} at={query.stands_on.to} whole={{ stands_on: query.stands_on }} what="flow-records" /></>}>
      {answer ? <div className="flow-records"><RowsAndRecord answer={answer} row={row} onRow={setRow} /></div> : waiting && <Waiting rows={8} />}
    </Section>
  );
}

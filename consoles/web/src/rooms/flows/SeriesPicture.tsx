// Flows over time: the largest groups upon each other, numbered as in the table below; the window before as a dashed line.
import { useEffect, useRef, useState, type KeyboardEvent } from "react";

import type { FlowSeries } from "../../api/types";
import { clock, moment } from "../../parts/format";
import { keyText, rateText } from "./flows";
import { moments, stack, stepLine, totals } from "./stack";

const HIGH_PX = 250;
const [LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX] = [78, 8, 10, 22];
const DAY_MS = 86_400_000;

interface Props {
  series: FlowSeries;
  previous: FlowSeries | undefined;
  nowMs: number;
  /** The group that is pointed at, by its place; what is beyond the groups is the rest. */
  marked: number | null;
  onMark: (marked: number | null) => void;
}

export function SeriesPicture({ series, previous, nowMs, marked, onMark }: Props) {
  const [place, width] = useWidth();
  const [at, setAt] = useState<number | null>(null);
  const starts = series.buckets.map((iso) => Date.parse(iso));
  const [fromMs, toMs] = [Date.parse(series.stands_on.from), Date.parse(series.stands_on.to)];
  const rest = series.other.some((value) => value > 0);
  const values = [...series.series.map((line) => line.values), ...(rest ? [series.other] : [])];
  const names = [...series.series.map((line) => keyText(line.key)), ...(rest ? ["all others"] : [])];
  const before = previous ? totals([...previous.series.map((line) => line.values), previous.other], previous.buckets.length) : [];
  const frame = { left: LEFT_PX, right: Math.max(LEFT_PX + 40, width - RIGHT_PX), top: TOP_PX, bottom: HIGH_PX - BOTTOM_PX, fromMs, toMs };
  const picture = stack(values, starts, series.bucket_ms, frame, Math.max(0, ...before));
  const sums = totals(values, starts.length);
  const shown = at === null ? null : Math.min(at, starts.length - 1);
  const zone = new Date(toMs).getTimezoneOffset();
  const daily = toMs - fromMs > 1.5 * DAY_MS;

  const bucketAt = (clientX: number, box: DOMRect) => {
    const ms = fromMs + ((clientX - box.left - LEFT_PX) / Math.max(1, frame.right - LEFT_PX)) * (toMs - fromMs);
    const found = starts.findLastIndex((start) => start <= ms);
    return found >= 0 && ms <= toMs ? found : null;
  };
  const keys = (event: KeyboardEvent) => {
    const step: Record<string, number> = { ArrowLeft: (shown ?? starts.length) - 1, ArrowRight: (shown ?? -1) + 1, Home: 0, End: starts.length - 1 };
    const to = step[event.key];
    if (to === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(starts.length - 1, to)));
  };
  const said = shown === null ? "" : `${moment(new Date(starts[shown] ?? 0).toISOString(), nowMs)}: ${rateText(sums[shown] ?? 0, series.unit)} in all; ${names.map((name, n) => `${name} ${rateText(values[n]?.[shown] ?? 0, series.unit)}`).join(", ")}`;
  const lineX = shown === null ? 0 : (picture.xOf(starts[shown] ?? 0) + picture.xOf((starts[shown] ?? 0) + series.bucket_ms)) / 2;

  return (
    <div ref={place} className="flow-series" data-picture="series">
      <svg
        width={width}
        height={HIGH_PX}
        role="application"
        aria-label={`Flows over time in ${series.unit}, ${names.length} bands; arrow keys go from moment to moment`}
        tabIndex={0}
        onKeyDown={keys}
        onPointerMove={(event) => setAt(bucketAt(event.clientX, event.currentTarget.getBoundingClientRect()))}
        onPointerLeave={() => { setAt(null); onMark(null); }}
        onBlur={() => setAt(null)}
      >
        {picture.ticks.map((tick) => (
          <g key={tick.value}>
            <line x1={LEFT_PX} x2={frame.right} y1={tick.y} y2={tick.y} className="grid" />
            <text x={LEFT_PX - 8} y={tick.y + 4} textAnchor="end">{rateText(tick.value, series.unit)}</text>
          </g>
        ))}
        {picture.bands.map((band, n) => (
          <path key={n} d={band.path} className={`band${marked !== null && marked !== n ? " aside" : ""}`} style={{ fill: bandFill(n, series.series.length) }} onPointerEnter={() => onMark(n)}>
            <title>{names[n]}</title>
          </path>
        ))}
        {picture.bands.map((band, n) => band.label.high >= 15 && n < series.series.length && <text key={n} x={band.label.x} y={band.label.y + 4} textAnchor="middle" className="rank">{n + 1}</text>)}
        {previous && <path d={stepLine(before, previous.buckets.map((iso) => Date.parse(iso)), previous.bucket_ms, fromMs - Date.parse(previous.stands_on.from), picture)} className="before" />}
        <line x1={LEFT_PX} x2={frame.right} y1={frame.bottom} y2={frame.bottom} className="ground" />
        {moments(fromMs, toMs, Math.max(2, Math.floor(width / 110)), zone).map((ms) => (
          <text key={ms} x={picture.xOf(ms)} y={HIGH_PX - 6} textAnchor={picture.xOf(ms) > frame.right - 20 ? "end" : "middle"}>{daily ? new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : clock(new Date(ms).toISOString()).slice(0, 5)}</text>
        ))}
        {shown !== null && <line x1={lineX} x2={lineX} y1={TOP_PX} y2={frame.bottom} className="cross" />}
      </svg>
      <span className="sr" role="status">{said}</span>
      {shown !== null && (
        <div className="flow-readout" style={lineX > width / 2 ? { right: width - lineX + 12 } : { left: lineX + 12 }} aria-hidden="true">
          <p><strong>{moment(new Date(starts[shown] ?? 0).toISOString(), nowMs)}</strong> <span className="faint">{rateText(sums[shown] ?? 0, series.unit)}</span></p>
          <ul>
            {names.map((name, n) => ({ name, n, value: values[n]?.[shown] ?? 0 })).filter(({ value }) => value > 0).map(({ name, n, value }) => (
              <li key={name + String(n)} className={n === marked ? "marked" : ""}>
                <span className="swatch" style={{ background: bandFill(n, series.series.length) }} />
                <span className="rank">{n < series.series.length ? n + 1 : ""}</span>
                <span className="name">{name}</span>
                <span className="num">{rateText(value, series.unit)}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
      {previous && <p className="flow-legend faint"><svg width="26" height="8" aria-hidden="true"><path d="M1 4H25" className="before" /></svg> all of the window before, {moment(previous.stands_on.from, nowMs)} to {moment(previous.stands_on.to, nowMs)}</p>}
    </div>
  );
}

export function bandFill(n: number, groups: number): string {
  return n >= groups ? "var(--band-rest)" : `var(--band-${Math.min(n, 7)})`;
}

/** The width that a picture has, as the page gives it. */
export function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(([entry]) => { if (entry) setWidth(Math.max(240, Math.floor(entry.contentRect.width))); });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}

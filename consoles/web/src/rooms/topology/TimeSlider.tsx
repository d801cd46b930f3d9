// The slider over the history that is kept: its right end is live. With two thumbs, two moments are compared.
import * as Popover from "@radix-ui/react-popover";
import * as Slider from "@radix-ui/react-slider";
import { useEffect, useRef, useState } from "react";

import { useChanges } from "../../api/queries";
import type { Topology } from "../../api/types";
import { useNow } from "../../frame/clock";
import { aWhileBefore } from "../../frame/history";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Drop, Kbd } from "../../parts/basics";
import { moment, span } from "../../parts/format";
import { Icon } from "../../parts/icons";

const STEP_MS = 1000;
const SETTLE_MS = 120;
/** A large picture is fetched where the hand rests, not all the way. */
const SETTLE_LARGE_MS = 350;
const LARGE = 10_000;
const MINUTE = 60_000;
const BEFORE: readonly [string, number][] = [["1 minute before", MINUTE], ["5 minutes before", 5 * MINUTE], ["15 minutes before", 15 * MINUTE], ["1 hour before", 60 * MINUTE], ["1 day before", 1440 * MINUTE]];

export function TimeSlider({ topology }: { topology: Topology }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const now = useNow();
  // While a hand is on the slider its right end stands still; else the present moves it on.
  const [held, setHeld] = useState<{ values: number[]; max: number } | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const release = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => [timer, release].forEach((each) => clearTimeout(each.current)), []);

  const earliest = topology.earliest ? Date.parse(topology.earliest) : null;
  if (earliest === null) return <div className="time-slider"><span className="faint">No history is kept yet.</span></div>;
  const max = held?.max ?? Math.max(now, earliest + STEP_MS);
  const within = (ms: number) => Math.min(Math.max(ms, earliest), max);
  const shown = url.at ? Date.parse(url.at) : max;
  const values = held?.values ?? [...(url.diff ? [within(Date.parse(url.diff))] : []), within(shown)];
  const value = values[values.length - 1] ?? max;
  const live = value >= max;
  const pace = topology.shown.nodes + topology.shown.edges > LARGE ? SETTLE_LARGE_MS : SETTLE_MS;

  const settle = (next: readonly number[], last: number) => {
    clearTimeout(timer.current);
    clearTimeout(release.current);
    const later = next[next.length - 1] ?? last;
    const earlier = next.length > 1 ? next[0] : undefined;
    timer.current = setTimeout(() => setUrl({ at: later >= last ? undefined : iso(later), ...(earlier === undefined ? {} : { diff: iso(earlier) }) }, true), pace);
  };
  return (
    <div className="time-slider">
      <span className="faint edge-label" title={topology.earliest ?? undefined}>{moment(topology.earliest, now)}</span>
      <Slider.Root
        className={values.length > 1 ? "slider pair" : "slider"}
        min={earliest}
        max={max}
        step={STEP_MS}
        minStepsBetweenThumbs={1}
        value={values}
        onValueChange={(next) => {
          const last = held?.max ?? max;
          // The last step before the end is the end: no one needs the moment one second ago by hand. Steps count from
          // the beginning, so that of a short history the last one may lie more than a pixel before the end.
          const near = Math.max((last - earliest) / 400, STEP_MS);
          const snapped = next.map((each, n) => (n === next.length - 1 && last - each < near ? last : each));
          setHeld({ values: snapped, max: last });
          settle(snapped, last);
        }}
        onValueCommit={() => {
          // The URL takes the moment first; only then may the slider follow the URL again.
          clearTimeout(release.current);
          release.current = setTimeout(() => setHeld(null), pace + SETTLE_MS);
        }}
      >
        <ChangeMarks from={earliest} to={max} earliest={topology.earliest} />
        <Slider.Track className="track"><Slider.Range className="range" /></Slider.Track>
        {values.length > 1 && <Slider.Thumb className="thumb earlier" aria-label="Compared with" aria-valuetext={moment(iso(values[0] ?? earliest), now)} />}
        <Slider.Thumb className="thumb" aria-label="Moment" aria-valuetext={live ? "live" : moment(iso(value), now)} />
      </Slider.Root>
      <span className="reading" aria-live="off">
        {live ? <strong>Live</strong> : <><strong>{moment(iso(value), now)}</strong> <span className="faint">{span(max - value)} ago</span></>}
        {values.length > 1 && <span className="against">against {moment(iso(values[0] ?? earliest), now)}</span>}
      </span>
      {url.diff === undefined ? <CompareMenu topology={topology} /> : <Button onClick={() => setUrl({ diff: undefined })} label="Stop comparing" shortcut="c" pressed>Comparing</Button>}
      <Button disabled={live} onClick={() => setUrl({ at: undefined })}>Live <Kbd>l</Kbd></Button>
    </div>
  );
}

function CompareMenu({ topology }: { topology: Topology }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const shown = Date.parse(url.at ?? topology.at);
  const first = Date.parse(topology.earliest ?? topology.at);
  return (
    <Drop trigger={<>Compare <Icon name="chevron" size={12} /></>} label="Compare with an earlier moment" align="end">
      <ul className="menu">
        {BEFORE.filter(([, ms]) => shown - ms > first).map(([name, ms]) => (
          <li key={name}><Popover.Close onClick={() => setUrl({ diff: aWhileBefore(topology, url.at, ms) })}>{name}</Popover.Close></li>
        ))}
        <li><Popover.Close disabled={first >= shown} onClick={() => setUrl({ diff: aWhileBefore(topology, url.at, Infinity) })}>The first moment that is known</Popover.Close></li>
      </ul>
    </Drop>
  );
}

/** Where elements came and went, as high as how many; the picture beside says which. */
function ChangeMarks({ from, to, earliest }: { from: number; to: number; earliest: string | null }) {
  const changes = useChanges(earliest);
  const marks = (changes.data?.items ?? [])
    .map((each) => ({ at: Date.parse(each.from), count: each.opened + each.closed + each.changed }))
    .filter((each) => each.count > 0 && each.at < to);
  const most = Math.max(1, ...marks.map((each) => each.count));
  return (
    <svg className="changes" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      {marks.map(({ at, count }) => {
        const height = 2 + (8 * Math.log1p(count)) / Math.log1p(most);
        return <rect key={at} x={(100 * (at - from)) / (to - from)} width="0.6" y={10 - height} height={height} />;
      })}
    </svg>
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

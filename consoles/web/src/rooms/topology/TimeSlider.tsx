// The slider over the history that is kept: its right end is live.
import * as Slider from "@radix-ui/react-slider";
import { useEffect, useRef, useState } from "react";

import { useChanges } from "../../api/queries";
import type { Topology } from "../../api/types";
import { useNow } from "../../frame/clock";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Kbd } from "../../parts/basics";
import { moment, span } from "../../parts/format";

const STEP_MS = 1000;
const SETTLE_MS = 120;

export function TimeSlider({ topology }: { topology: Topology }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const now = useNow();
  // While a hand is on the slider its right end stands still; else the present moves it on.
  const [held, setHeld] = useState<{ value: number; max: number } | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const release = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => [timer, release].forEach((each) => clearTimeout(each.current)), []);

  const earliest = topology.earliest ? Date.parse(topology.earliest) : null;
  if (earliest === null) return <div className="time-slider"><span className="faint">No history is kept yet.</span></div>;
  const max = held?.max ?? Math.max(now, earliest + STEP_MS);
  const value = held?.value ?? (url.at ? Date.parse(url.at) : max);
  const live = value >= max;

  const settle = (next: number, last: number) => {
    clearTimeout(timer.current);
    clearTimeout(release.current);
    timer.current = setTimeout(() => setUrl({ at: next >= last ? undefined : new Date(next).toISOString() }, true), SETTLE_MS);
  };
  return (
    <div className="time-slider">
      <span className="faint edge-label" title={topology.earliest ?? undefined}>{moment(topology.earliest, now)}</span>
      <Slider.Root
        className="slider"
        min={earliest}
        max={max}
        step={STEP_MS}
        value={[Math.min(Math.max(value, earliest), max)]}
        onValueChange={([next]) => {
          if (next === undefined) return;
          const last = held?.max ?? max;
          // The last step before the end is the end: no one needs the moment one second ago by hand.
          const snapped = last - next < (last - earliest) / 400 ? last : next;
          setHeld({ value: snapped, max: last });
          settle(snapped, last);
        }}
        onValueCommit={() => {
          // The URL takes the moment first; only then may the slider follow the URL again.
          clearTimeout(release.current);
          release.current = setTimeout(() => setHeld(null), 2 * SETTLE_MS);
        }}
      >
        <ChangeMarks from={earliest} to={max} earliest={topology.earliest} />
        <Slider.Track className="track"><Slider.Range className="range" /></Slider.Track>
        <Slider.Thumb className="thumb" aria-label="Moment" aria-valuetext={live ? "live" : moment(new Date(value).toISOString(), now)} />
      </Slider.Root>
      <span className="reading" aria-live="off">
        {live ? <strong>Live</strong> : <><strong>{moment(new Date(value).toISOString(), now)}</strong> <span className="faint">{span(max - value)} ago</span></>}
      </span>
      <Button disabled={live} onClick={() => setUrl({ at: undefined })}>Live <Kbd>l</Kbd></Button>
    </div>
  );
}

/** Where elements came and went, as high as how many; the picture beside says which. */
function ChangeMarks({ from, to, earliest }: { from: number; to: number; earliest: string | null }) {
  const changes = useChanges(earliest);
  const marks = (changes.data?.items ?? [])
    .map((each) => ({ at: Date.parse(each.from), count: each.opened + each.closed }))
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

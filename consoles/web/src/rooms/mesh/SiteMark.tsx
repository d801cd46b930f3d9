// A site's mark in the picture: its shape is the state, its colour the lag.
import type { SiteState } from "../../api/types";
import type { Step } from "./lag";
import type { Place } from "./layout";

/** `plain`: without the field around it that the hand and the focus need. */
export function SiteMark({ state, step, place: { x, y }, mark, plain = false }: { state: SiteState; step: Step; place: Place; mark: number; plain?: boolean }) {
  return (
    <>
      {!plain && <circle cx={x} cy={y} r={Math.max(mark + 3, 8)} className="hit" />}
      <circle cx={x} cy={y} r={mark} className={`lag-${step} body`} />
      {state === "here" && <circle cx={x} cy={y} r={mark + 4} className="home" />}
      {state === "stale" && mark >= 8 && <path d={`M${x} ${y - mark * 0.55}V${y}L${x + mark * 0.45} ${y + mark * 0.3}`} className="glyph" />}
      {state === "stale" && mark < 8 && <circle cx={x} cy={y} r={mark + 2.5} className="late" />}
      {state === "unreachable" && <path d={cross(x, y, mark * 0.5)} className="glyph out" />}
      {state === "never_heard" && <path d={`M${x - mark * 0.5} ${y}h${mark}`} className="glyph out" />}
    </>
  );
}

export function cross(x: number, y: number, r: number): string {
  return `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`;
}

// Line icons on a 16-unit grid, and the marks of states.
import type { Mark, Tone } from "./states";

const PATHS = {
  overview: "M2.5 2.5h4.5v6h-4.5zM9 2.5h4.5v3.5h-4.5zM9 8h4.5v5.5h-4.5zM2.5 10.5h4.5v3h-4.5z",
  topology: "M4 4m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0-3.6 0M12 5.5m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0-3.6 0M7 12.3m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0-3.6 0M5.8 4.3l4.4.9M4.6 5.7l1.7 4.9M10.8 6.9l-2.7 4",
  tests: "M1.5 8h3l2-5 3 10 2-5h3",
  alert: "M4 11V7a4 4 0 0 1 8 0v4l1.2 1.5H2.8zM6.7 12.5a1.4 1.4 0 0 0 2.6 0",
  slo: "M2 12.5a6 6 0 1 1 12 0M8 12.5l3.2-4.4M2 12.5h1.6M12.4 12.5H14M8 6.5v1.6",
  page: "M2.5 4h11v8h-11zM2.5 4.5L8 9l5.5-4.5",
  incident: "M8 2.2l6.2 11H1.8zM8 6.3v3.4M8 11.6h.01",
  change: "M2.5 5h8M8 2.5L10.5 5 8 7.5M13.5 11h-8M8 8.5L5.5 11 8 13.5",
  hosts: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  endpoint: "M3.5 3h9v7h-9zM1.5 12.5h13M7 12.5h2",
  mesh: "M8 1.8l5.4 3.1v6.2L8 14.2 2.6 11.1V4.9zM8 8l5.4-3.1M8 8v6.2M8 8L2.6 4.9",
  flows: "M1.5 4c5 0 5 5 10 5M1.5 8h5M1.5 12c3 0 4-1.2 5.5-2.2M11.5 4.5h3M9.5 6.3l2-1.8M11 6.8l3 2.2-3 2.2",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.2v3h-3",
  ask: "M2.5 3h11v8h-5l-3 2.5V11h-3zM5.2 5.6l1.6 1.5-1.6 1.5M8.4 8.6h2.4",
  stop: "M4.5 4.5h7v7h-7z",
  settings: "M2 4.5h6M11 4.5h3M2 11.5h3M8 11.5h6M9.5 4.5m-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0M6.5 11.5m-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0",
  search: "M7 7m-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0M10.2 10.2l3.6 3.6",
  clock: "M8 8m-5.8 0a5.8 5.8 0 1 0 11.6 0a5.8 5.8 0 1 0-11.6 0M8 4.8V8l2.3 1.6",
  scope: "M8 8m-5.8 0a5.8 5.8 0 1 0 11.6 0a5.8 5.8 0 1 0-11.6 0M2.2 8h11.6M8 2.2c2 2 2.6 3.8 2.6 5.8S10 11.8 8 13.8M8 2.2C6 4.2 5.4 6 5.4 8s.6 3.8 2.6 5.8",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.2 3.2L13 4.8",
  export: "M8 2v7.5M5 6.8l3 3 3-3M2.5 11.5v2h11v-2",
  table: "M2.5 3h11v10h-11zM2.5 6.3h11M2.5 9.7h11M6.5 6.3V13",
  theme: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z",
  chevron: "M4.5 6.5L8 10l3.5-3.5",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6v-3.5h3.5M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  out: "M4 12l8-8M6 4h6v6",
  in: "M12 4l-8 8M10 12H4V6",
  layout: "M3 13l3.5-4 3 2L13 4M10.2 4H13v2.8",
  play: "M5 3.5v9l7-4.5z",
  ranking: "M2.5 3.5h11M2.5 8h7M2.5 12.5h3.5",
  keys: "M1.5 4h13v8h-13zM4 6.7h.01M6.7 6.7h.01M9.3 6.7h.01M12 6.7h.01M5 9.5h6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

/** A state's shape in its colour. */
export function StateMark({ mark, tone }: { mark: Mark; tone: Tone }) {
  return (
    <svg className={`mark tone-${tone}`} width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      {SHAPES[mark]}
    </svg>
  );
}

const line = { fill: "none", stroke: "currentColor", strokeWidth: 1.6, strokeLinecap: "round", strokeLinejoin: "round" } as const;

const SHAPES: Record<Mark, React.ReactNode> = {
  disk: <circle cx="6" cy="6" r="4" fill="currentColor" />,
  ring: <circle cx="6" cy="6" r="4" {...line} />,
  dash: <path d="M2.5 6h7" {...line} />,
  clock: (
    <>
      <circle cx="6" cy="6" r="4.6" {...line} strokeWidth={1.4} />
      <path d="M6 3.6V6l1.6 1.2" {...line} strokeWidth={1.4} />
    </>
  ),
  triangle: <path d="M6 1.6l5 8.8H1z" fill="currentColor" />,
  square: <path d="M2.2 2.2h7.6v7.6H2.2z" fill="currentColor" />,
  home: (
    <>
      <circle cx="6" cy="6" r="2.2" fill="currentColor" />
      <circle cx="6" cy="6" r="4.8" {...line} strokeWidth={1.3} />
    </>
  ),
  slash: (
    <>
      <circle cx="6" cy="6" r="4.4" {...line} strokeWidth={1.4} />
      <path d="M3 9l6-6" {...line} strokeWidth={1.4} />
    </>
  ),
};

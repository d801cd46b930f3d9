// Each site's elements lie on an island: filled while it is heard, hatched when stale, outline only when unreachable.
import { clock } from "../format";
import { SITE_LOOKS } from "../states";
import type { Point } from "./layout";
import type { DrawnSite } from "./model";
import type { Palette } from "./palette";

export interface Island extends DrawnSite {
  shore: readonly Point[];
}

const BEACH = 34;
const HATCH = 11;

export function drawIslands(context: CanvasRenderingContext2D, islands: readonly Island[], palette: Palette, toScreen: (point: Point) => Point): void {
  context.lineJoin = "round";
  context.lineCap = "round";
  for (const island of islands) {
    const shore = island.shore.map(toScreen);
    const empty = island.state === "unreachable" || island.state === "never_heard";
    // A wide stroke around the outline gives a coast with round corners; the second, narrower one leaves the first as its line.
    coast(context, shore, palette.shore, 2 * BEACH + 2);
    coast(context, shore, empty ? palette.ground : palette.island, 2 * BEACH);
    if (island.state === "stale") hatch(context, shore, palette.shore);
    name(context, shore, island, palette);
  }
}

function trace(context: CanvasRenderingContext2D, shore: readonly Point[]): void {
  context.beginPath();
  shore.forEach((point, n) => (n === 0 ? context.moveTo(point.x, point.y) : context.lineTo(point.x, point.y)));
  if (shore.length === 1 && shore[0]) context.lineTo(shore[0].x + 0.1, shore[0].y);
  context.closePath();
}

function coast(context: CanvasRenderingContext2D, shore: readonly Point[], colour: string, width: number): void {
  trace(context, shore);
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.fill();
  context.stroke();
}

function hatch(context: CanvasRenderingContext2D, shore: readonly Point[], colour: string): void {
  const tile = document.createElement("canvas");
  tile.width = tile.height = HATCH;
  const pen = tile.getContext("2d");
  if (!pen) return;
  pen.strokeStyle = colour;
  pen.beginPath();
  // Three lines, so that they meet at the tile's corners.
  for (const shift of [-HATCH, 0, HATCH]) {
    pen.moveTo(shift, HATCH);
    pen.lineTo(shift + HATCH, 0);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  if (!pattern) return;
  trace(context, shore);
  context.fillStyle = pattern;
  context.fill();
  // The beach is the outer half of a wide stroke; over the inner half the lines are drawn twice, in the same places.
  context.strokeStyle = pattern;
  context.lineWidth = 2 * BEACH;
  context.stroke();
}

function name(context: CanvasRenderingContext2D, shore: readonly Point[], island: Island, palette: Palette): void {
  const top = Math.min(...shore.map((p) => p.y)) - BEACH;
  const x = (Math.min(...shore.map((p) => p.x)) + Math.max(...shore.map((p) => p.x))) / 2;
  const look = SITE_LOOKS[island.state];
  const fine = look.tone === "ok";
  const state = fine ? "" : ` · ${look.word}${island.asOf ? `, as of ${clock(island.asOf)}` : ""}`;
  context.textAlign = "left";
  context.font = `600 12px ${palette.font}`;
  const nameWidth = context.measureText(island.site).width;
  context.font = `12px ${palette.font}`;
  const start = x - (nameWidth + context.measureText(state).width) / 2;
  context.fillStyle = look.tone === "warn" ? palette.warn : look.tone === "bad" ? palette.bad : palette.dim;
  context.fillText(state, start + nameWidth, top - 8);
  context.font = `600 12px ${palette.font}`;
  context.fillStyle = palette.dim;
  context.fillText(island.site, start, top - 8);
}

// Labels and the mark of what is pointed at or selected, on the canvas above the graph.
import type { EdgeDisplayData, NodeDisplayData, PartialButFor } from "sigma/types";

import type { Palette } from "./palette";

type Labelled = PartialButFor<NodeDisplayData, "x" | "y" | "size" | "label" | "color">;

const SIZE = 11;
const LINE = 14;

/** A place that is taken, by a label or a node: left, top, right, bottom. */
export type Plate = readonly [number, number, number, number];

/** The name below its node, with a halo so that it reads over lines; left out where it would lie on what is `taken`. */
export function drawLabel(palette: () => Palette, taken: Plate[]) {
  return (context: CanvasRenderingContext2D, data: Labelled & { note?: string; quiet?: boolean }) => {
    if (!data.label || data.quiet) return;
    const colours = palette();
    context.font = `${SIZE}px ${colours.font}`;
    context.textAlign = "center";
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = colours.island;
    const text = shorten(data.label);
    const y = data.y + data.size + SIZE + 2;
    const note = data.note ?? "";
    const half = Math.max(context.measureText(text).width, note ? context.measureText(note).width : 0) / 2 + 3;
    const plate: Plate = [data.x - half, y - SIZE, data.x + half, y + 3 + (note ? LINE : 0)];
    if (taken.some((other) => plate[0] < other[2] && plate[2] > other[0] && plate[1] < other[3] && plate[3] > other[1])) {
      context.textAlign = "start";
      return;
    }
    taken.push(plate);
    if (note) {
      context.fillStyle = colours.dim;
      context.strokeText(note, data.x, y + LINE);
      context.fillText(note, data.x, y + LINE);
      context.font = `600 ${SIZE}px ${colours.font}`;
    }
    context.fillStyle = colours.text;
    context.strokeText(text, data.x, y);
    context.fillText(text, data.x, y);
    context.textAlign = "start";
  };
}

/** How many edges a line stands for, at its middle. */
export function drawNumber(palette: () => Palette) {
  type Place = Pick<NodeDisplayData, "x" | "y">;
  return (context: CanvasRenderingContext2D, data: Pick<EdgeDisplayData, "label">, from: Place, to: Place) => {
    if (!data.label) return;
    const colours = palette();
    context.font = `${SIZE}px ${colours.font}`;
    context.textAlign = "center";
    context.lineWidth = 5;
    context.lineJoin = "round";
    context.strokeStyle = colours.ground;
    context.fillStyle = colours.dim;
    const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2 + 4];
    context.strokeText(data.label, x, y);
    context.fillText(data.label, x, y);
    context.textAlign = "start";
  };
}

/** A ring around the node and its whole name on a plate. */
export function drawHover(palette: () => Palette) {
  return (context: CanvasRenderingContext2D, data: Labelled) => {
    const colours = palette();
    context.beginPath();
    context.arc(data.x, data.y, data.size + 4, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = colours.focus;
    context.stroke();
    if (!data.label) return;
    context.font = `600 ${SIZE}px ${colours.font}`;
    const width = context.measureText(data.label).width;
    const top = data.y + data.size + 7;
    context.beginPath();
    context.roundRect(data.x - width / 2 - 6, top, width + 12, SIZE + 9, 5);
    context.fillStyle = colours.panel;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = colours.shore;
    context.stroke();
    context.fillStyle = colours.text;
    context.textAlign = "center";
    context.fillText(data.label, data.x, top + SIZE + 3);
    context.textAlign = "start";
  };
}

function shorten(label: string): string {
  return label.length > 30 ? `${label.slice(0, 14)}…${label.slice(-14)}` : label;
}

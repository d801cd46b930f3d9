// Labels and the mark of what is pointed at or selected, on the canvas above the graph.
import type { NodeDisplayData, PartialButFor } from "sigma/types";

import type { Palette } from "./palette";

type Labelled = PartialButFor<NodeDisplayData, "x" | "y" | "size" | "label" | "color">;

const SIZE = 11;

/** A place that is taken, by a label or a node: left, top, right, bottom. */
export type Plate = readonly [number, number, number, number];

/** The name below its node, with a halo so that it reads over lines; left out where it would lie on what is `taken`. */
export function drawLabel(palette: () => Palette, taken: Plate[]) {
  return (context: CanvasRenderingContext2D, data: Labelled & { quiet?: boolean }) => {
    if (!data.label) return;
    const colours = palette();
    context.font = `${SIZE}px ${colours.font}`;
    context.textAlign = "center";
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = colours.island;
    context.fillStyle = data.quiet ? colours.edge : colours.text;
    const text = shorten(data.label);
    const y = data.y + data.size + SIZE + 2;
    const half = context.measureText(text).width / 2 + 3;
    const plate: Plate = [data.x - half, y - SIZE, data.x + half, y + 3];
    if (taken.some((other) => plate[0] < other[2] && plate[2] > other[0] && plate[1] < other[3] && plate[3] > other[1])) {
      context.textAlign = "start";
      return;
    }
    taken.push(plate);
    context.strokeText(text, data.x, y);
    context.fillText(text, data.x, y);
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

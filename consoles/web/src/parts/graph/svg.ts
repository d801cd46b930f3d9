// The picture as SVG text, from the same places and colours as on the screen.
import { boxOf } from "./hull";
import type { Point } from "./layout";
import type { DrawnNode, Picture } from "./model";
import type { Palette } from "./palette";

/** Text for an SVG or XML document: names come from the network. */
export function escapeXml(text: string): string {
  // Control characters are not allowed in XML at all.
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function toSvg({ picture, place, palette }: { picture: Picture; place: (id: string) => Point | undefined; palette: Palette }, title: string): string {
  const box = boxOf(picture.nodes.flatMap((node) => place(node.id) ?? []), 0.1) ?? { x: [0, 1], y: [0, 1] };
  const [width, height] = [box.x[1] - box.x[0], box.y[1] - box.y[0]];
  const unit = Math.max(width, height) / 180;
  // Up is up on the screen of the graph, down in SVG.
  const at = (point: Point) => ({ x: round(point.x - box.x[0]), y: round(box.y[1] - point.y) });
  const lines = picture.edges.flatMap((edge) => {
    const [from, to] = [place(edge.from), place(edge.to)];
    if (!from || !to) return [];
    const [a, b] = [at(from), at(to)];
    const plain = edge.look === "live" ? palette.edge : palette.look[edge.look];
    const colour = picture.compared ? (edge.change ? palette.change[edge.change] : palette.faded) : plain;
    const dash = edge.inferred || edge.change === "vanished" ? ` stroke-dasharray="${round(unit)} ${round(unit * 0.8)}"` : "";
    return [`<line x1="${a.x}" y1="${a.y}" x2="${b.x}" y2="${b.y}" stroke="${colour}" stroke-width="${round(unit * 0.2)}"${dash}><title>${escapeXml(edge.id)}</title></line>`];
  });
  const most = picture.nodes.reduce((n, node) => Math.max(n, node.cluster?.count ?? 1), 1);
  const marks = picture.nodes.flatMap((node) => {
    const point = place(node.id);
    // A disc's area is as its count.
    const size = node.cluster ? unit * (1.2 + 2.4 * Math.sqrt(node.cluster.count / most)) : unit;
    return point ? [mark(node, at(point), size, unit, palette, picture.compared ?? false)] : [];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${round(width)} ${round(height)}" font-family="sans-serif" font-size="${round(unit * 1.7)}">
<title>${escapeXml(title)}</title>
<rect width="100%" height="100%" fill="${palette.ground}"/>
${lines.join("\n")}
${marks.join("\n")}
</svg>
`;
}

function mark(node: DrawnNode, at: Point, size: number, unit: number, palette: Palette, compared: boolean): string {
  const colour = compared ? (node.change ? palette.change[node.change] : palette.faded) : palette.look[node.look];
  const hollow = compared ? node.change === "vanished" : node.look === "unreachable" || node.look === "unknown" || node.look === "stale";
  const points = OUTLINES[node.kind].map(([x, y]) => `${round(at.x + x * size)},${round(at.y + y * size)}`).join(" ");
  const dash = hollow && (compared || node.look === "stale") ? ` stroke-dasharray="${round(unit * 0.4)}"` : "";
  const paint = hollow ? `fill="${palette.ground}" stroke="${colour}" stroke-width="${round(unit * 0.3)}"${dash}` : `fill="${colour}"`;
  const shape = node.kind === "service" || node.kind === "cluster" ? `<circle cx="${at.x}" cy="${at.y}" r="${round(size)}" ${paint}/>` : `<polygon points="${points}" ${paint}/>`;
  return `<g>${shape}<text x="${at.x}" y="${round(at.y + size + unit * 2)}" text-anchor="middle" fill="${palette.text}">${escapeXml(node.cluster ? `${node.label} (${node.cluster.count})` : node.label)}</text><title>${escapeXml(node.id)}</title></g>`;
}

/** The corners of each kind's shape around 0,0 with radius 1; the legend draws them too. */
export const OUTLINES: Record<DrawnNode["kind"], readonly [number, number][]> = {
  service: regular(24, 0),
  cluster: regular(24, 0),
  host: [[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]],
  hop: regular(4, 0),
  agent: regular(6, 0),
  as: regular(3, -90),
  device: regular(5, -90),
  prefix: [[-1, -0.5], [1, -0.5], [1, 0.5], [-1, 0.5]],
  site: [[-0.35, -0.95], [0.35, -0.95], [0.35, -0.35], [0.95, -0.35], [0.95, 0.35], [0.35, 0.35], [0.35, 0.95], [-0.35, 0.95], [-0.35, 0.35], [-0.95, 0.35], [-0.95, -0.35], [-0.35, -0.35]],
};

function regular(sides: number, turn: number): [number, number][] {
  return Array.from({ length: sides }, (_, n) => {
    const angle = ((turn + (360 * n) / sides) * Math.PI) / 180;
    return [round(Math.cos(angle)), round(Math.sin(angle))];
  });
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}

// Where the boxes and bands of a Sankey diagram lie. No I/O.

export interface SankeyIn {
  nodes: readonly { layer: number; value: number }[];
  links: readonly { source: number; target: number; value: number }[];
}

export interface SankeyBox {
  x: number;
  y: number;
  high: number;
}

export interface SankeyBand {
  source: number;
  target: number;
  path: string;
  wide: number;
}

export interface SankeyPicture {
  boxes: SankeyBox[];
  bands: SankeyBand[];
  layers: number;
}

export const BOX_PX = 10;
const GAP_PX = 7;
const LEAST_PX = 1;

/** Layers from left to right; within a layer the boxes lie so that bands cross little: by the middle of where they come from. */
export function layOut({ nodes, links }: SankeyIn, width: number, height: number): SankeyPicture {
  const layers = nodes.reduce((most, node) => Math.max(most, node.layer + 1), 0);
  const boxes: SankeyBox[] = nodes.map(() => ({ x: 0, y: 0, high: 0 }));
  const columns = Array.from({ length: layers }, (_, layer) => nodes.map((node, n) => ({ node, n })).filter(({ node }) => node.layer === layer));
  const scale = columns.reduce((least, column) => {
    const sum = column.reduce((all, { node }) => all + node.value, 0);
    return sum > 0 ? Math.min(least, (height - GAP_PX * (column.length - 1)) / sum) : least;
  }, Infinity);
  const perUnit = Number.isFinite(scale) ? Math.max(0, scale) : 0;
  const middle = (n: number) => (boxes[n]?.y ?? 0) + (boxes[n]?.high ?? 0) / 2;
  columns.forEach((column, layer) => {
    const from = (n: number) => {
      const incoming = links.filter((link) => link.target === n);
      const sum = incoming.reduce((all, link) => all + link.value, 0);
      return sum > 0 ? incoming.reduce((all, link) => all + link.value * middle(link.source), 0) / sum : Infinity;
    };
    const order = layer === 0 ? [...column].sort((a, b) => b.node.value - a.node.value) : [...column].map((each) => ({ ...each, at: from(each.n) })).sort((a, b) => a.at - b.at || b.node.value - a.node.value);
    const high = order.map(({ node }) => Math.max(LEAST_PX, node.value * perUnit));
    const used = high.reduce((all, each) => all + each, 0) + GAP_PX * (order.length - 1);
    let y = Math.max(0, (height - used) / 2);
    order.forEach(({ n }, at) => {
      boxes[n] = { x: layers === 1 ? 0 : (layer / (layers - 1)) * (width - BOX_PX), y, high: high[at] ?? 0 };
      y += (high[at] ?? 0) + GAP_PX;
    });
  });
  return { boxes, bands: bandsOf(links, boxes, perUnit), layers };
}

/** At each box the bands lie in the order of the boxes at their other ends. */
function bandsOf(links: SankeyIn["links"], boxes: readonly SankeyBox[], perUnit: number): SankeyBand[] {
  const out = boxes.map(() => 0);
  const into = boxes.map(() => 0);
  const y = (n: number) => boxes[n]?.y ?? 0;
  const begin = new Map<number, number>();
  [...links.keys()].sort((a, b) => y(links[a]?.target ?? 0) - y(links[b]?.target ?? 0)).forEach((at) => {
    const link = links[at];
    if (!link) return;
    begin.set(at, y(link.source) + (out[link.source] ?? 0));
    out[link.source] = (out[link.source] ?? 0) + link.value * perUnit;
  });
  const bands: SankeyBand[] = [];
  [...links.keys()].sort((a, b) => y(links[a]?.source ?? 0) - y(links[b]?.source ?? 0)).forEach((at) => {
    const link = links[at];
    if (!link) return;
    const wide = Math.max(LEAST_PX, link.value * perUnit);
    const y0 = (begin.get(at) ?? 0) + wide / 2;
    const y1 = y(link.target) + (into[link.target] ?? 0) + wide / 2;
    into[link.target] = (into[link.target] ?? 0) + link.value * perUnit;
    const [x0, x1] = [(boxes[link.source]?.x ?? 0) + BOX_PX, boxes[link.target]?.x ?? 0];
    const bend = (x0 + x1) / 2;
    bands.push({ source: link.source, target: link.target, wide, path: `M${px(x0)} ${px(y0)}C${px(bend)} ${px(y0)} ${px(bend)} ${px(y1)} ${px(x1)} ${px(y1)}` });
  });
  return bands;
}

function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

// Where sites stand: on a ring, equally far from each other along it, so that no way hides behind a site; or as cells in rows.

/** Above this many sites a ring tells nothing any more, and clusters stand in its place. */
export const RING_MOST = 240;
/** Up to here every site on the ring has its name beside it. */
export const NAMED_MOST = 40;
/** Above this many open ways only those of this node, and of the site that is looked at, are drawn: more are a grey disc. */
export const OPEN_MOST = 1_200;
/** Up to here names stand level; above, they turn with the ring. */
export const LEVEL_MOST = 14;

export interface Place {
  x: number;
  y: number;
  /** The direction from the middle, in radians; 0 is to the right, a quarter turn is down. */
  angle: number;
}

export interface Ring {
  rx: number;
  ry: number;
  /** The radius of a site's mark. */
  mark: number;
  places: readonly Place[];
}

/** How finely the ring is measured. */
const PIECES = 1440;

/** `count` places on an ellipse in a field of `width` × `height`, clockwise from the top. */
export function ring(count: number, width: number, height: number): Ring {
  const mark = count <= LEVEL_MOST ? 11 : count <= NAMED_MOST ? 8 : count <= 100 ? 5 : 3.5;
  const room = count <= NAMED_MOST ? 92 : 70;
  // Level names stand beside the ring, turned ones all around it.
  const rx = Math.max(40, width / 2 - (count === 1 ? width / 2 - 40 : room));
  const ry = Math.max(40, height / 2 - (count <= LEVEL_MOST ? 46 : Math.min(count <= NAMED_MOST ? room : 96, height / 4)));
  const [cx, cy] = [width / 2, height / 2];
  if (count === 1) return { rx, ry, mark, places: [{ x: cx, y: cy, angle: -Math.PI / 2 }] };
  const at = (turn: number) => ({ x: cx + rx * Math.cos(turn), y: cy + ry * Math.sin(turn) });
  const turn = (piece: number) => (2 * Math.PI * piece) / PIECES - Math.PI / 2;
  // The length along the ring up to each of its pieces.
  const lengths = [0];
  for (let piece = 1; piece <= PIECES; piece++) {
    const [from, to] = [at(turn(piece - 1)), at(turn(piece))];
    lengths.push((lengths[piece - 1] ?? 0) + Math.hypot(to.x - from.x, to.y - from.y));
  }
  const whole = lengths[PIECES] ?? 0;
  const places: Place[] = [];
  let piece = 0;
  for (let n = 0; n < count; n++) {
    const wanted = (whole * n) / count;
    while (piece < PIECES && (lengths[piece + 1] ?? Infinity) <= wanted) piece += 1;
    const [before, after] = [lengths[piece] ?? 0, lengths[piece + 1] ?? whole];
    const { x, y } = at(turn(piece + (after > before ? (wanted - before) / (after - before) : 0)));
    places.push({ x, y, angle: Math.atan2(y - cy, x - cx) });
  }
  return { rx, ry, mark, places };
}

/** `names` turned so that `first` comes first; it stands at the top of the ring. */
export function startingWith(names: readonly string[], first: string): string[] {
  const at = names.indexOf(first);
  return at <= 0 ? [...names] : [...names.slice(at), ...names.slice(0, at)];
}

/** Where a name stands beside its mark, and how it is turned. */
export function labelAt(place: Place, mark: number, level: boolean): { x: number; y: number; anchor: "start" | "middle" | "end"; rotate: number } {
  const [cos, sin] = [Math.cos(place.angle), Math.sin(place.angle)];
  const away = mark + 7;
  const x = place.x + away * cos;
  const y = place.y + away * sin;
  if (level) {
    const anchor = Math.abs(cos) < 0.35 ? "middle" : cos > 0 ? "start" : "end";
    return { x, y: anchor === "middle" ? place.y + (sin > 0 ? away + 9 : -away - 16) : y, anchor, rotate: 0 };
  }
  // A name is never upside down.
  const degrees = (place.angle * 180) / Math.PI;
  return cos >= 0 ? { x, y, anchor: "start", rotate: degrees } : { x, y, anchor: "end", rotate: degrees + 180 };
}

export interface Cells {
  columns: number;
  rows: number;
  /** The edge of a cell with the gap after it. */
  pitch: number;
}

/** How `count` cells of `all` that are drawn fill a field that is `width` wide; cells of every field are alike. */
export function cells(count: number, width: number, all = count): Cells {
  const pitch = all > 400 ? 10 : 14;
  const columns = Math.max(1, Math.floor(width / pitch));
  return { columns, rows: Math.ceil(count / columns), pitch };
}

/** The index of the cell under a point of the field, if one is there. */
export function cellAt(x: number, y: number, count: number, { columns, pitch }: Cells): number | undefined {
  const [column, row] = [Math.floor(x / pitch), Math.floor(y / pitch)];
  const index = row * columns + column;
  return x >= 0 && y >= 0 && column < columns && index < count ? index : undefined;
}

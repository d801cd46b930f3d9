// The tokens as the graph needs them: plain rgb text. Custom properties with light-dark() resolve only through a real property.
import type { Change, Look } from "./model";

export interface Palette {
  look: Record<Look, string>;
  change: Record<Change, string>;
  edge: string;
  faded: string;
  text: string;
  dim: string;
  panel: string;
  ground: string;
  island: string;
  shore: string;
  focus: string;
  warn: string;
  bad: string;
  font: string;
}

export function readPalette(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const read = (token: string) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };
  const unknown = read("unknown");
  const palette: Palette = {
    look: { live: read("ok"), stale: read("warn"), unreachable: unknown, unknown, warn: read("warn"), bad: read("bad") },
    change: { appeared: read("ok"), vanished: read("bad"), returned: read("warn"), changed: read("text") },
    edge: read("graph-edge"), faded: read("graph-faded"), text: read("text"), dim: read("dim"), panel: read("raised"),
    ground: read("graph-ground"), island: read("graph-island"), shore: read("graph-shore"), focus: read("focus"), warn: read("warn"), bad: read("bad"),
    font: getComputedStyle(document.body).fontFamily,
  };
  probe.remove();
  return palette;
}

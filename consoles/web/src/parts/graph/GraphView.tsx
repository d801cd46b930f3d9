// The live picture as a part of a page. React holds the frame; the elements are drawn by the scene.
import { useEffect, useImperativeHandle, useRef, useState, type KeyboardEvent, type Ref } from "react";

import { useIsDark } from "../../frame/theme";
import { Button } from "../basics";
import { plural } from "../format";
import type { Blast } from "./attributes";
import type { Picture } from "./model";
import { Scene } from "./scene";

export interface GraphHandle {
  scene: () => Scene | null;
}

interface Props {
  picture: Picture;
  selected: string | undefined;
  /** What fails and what it touches, if that is asked. */
  impact: Blast | undefined;
  onSelect: (id: string | undefined) => void;
  handle: Ref<GraphHandle>;
}

function canDraw(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

function told(picture: Picture): string {
  const groups = picture.nodes.filter((node) => node.cluster).length;
  const alone = picture.nodes.length - groups;
  const parts = [groups > 0 && plural(groups, "group"), (alone > 0 || groups === 0) && plural(alone, "node")].filter(Boolean).join(" and ");
  return `Graph of ${parts}, with ${plural(picture.edges.length, "line")} between them.`;
}

export function GraphView({ picture, selected, impact, onSelect, handle }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const scene = useRef<Scene | null>(null);
  const select = useRef(onSelect);
  const [busy, setBusy] = useState(false);
  const [drawable] = useState(canDraw);
  const dark = useIsDark();

  useEffect(() => {
    select.current = onSelect;
  });
  useEffect(() => {
    if (!place.current) return undefined;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const made = new Scene(place.current, { select: (id) => select.current(id ?? undefined), busy: setBusy }, still);
    scene.current = made;
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      made.stop();
      scene.current = null;
    };
  }, []);
  useEffect(() => scene.current?.show(picture), [picture]);
  useEffect(() => scene.current?.recolour(), [dark]);
  useEffect(() => {
    scene.current?.select(selected ?? null);
    if (selected) scene.current?.reveal(selected);
  }, [selected]);
  useEffect(() => scene.current?.mark(impact ?? null), [impact]);
  useImperativeHandle(handle, () => ({ scene: () => scene.current }), []);

  const keys = (event: KeyboardEvent) => {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => scene.current?.pan(-1, 0), ArrowRight: () => scene.current?.pan(1, 0),
      ArrowUp: () => scene.current?.pan(0, 1), ArrowDown: () => scene.current?.pan(0, -1),
    };
    const run = moves[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  };

  if (!drawable) {
    return <div className="graph-place"><p className="nothing">This browser has no WebGL, which the picture needs. The table shows the same: press <kbd>t</kbd>.</p></div>;
  }
  return (
    <div className="graph-place" data-busy={busy}>
      {/* A picture that takes keys: what it shows is in the table, one key away. */}
      <div
        ref={place}
        className="graph"
        role="application"
        tabIndex={0}
        onKeyDown={keys}
        aria-label={`${told(picture)} Arrows move it, plus and minus zoom, t shows it as a table.`}
      />
      <div className="graph-tools">
        <Button icon="plus" label="Zoom in" shortcut="+" onClick={() => scene.current?.zoom(0.7)} />
        <Button icon="minus" label="Zoom out" shortcut="−" onClick={() => scene.current?.zoom(1.4)} />
        <Button icon="fit" label="Fit" shortcut="0" onClick={() => scene.current?.fit()} />
        <Button icon="layout" label="Arrange again" shortcut="r" onClick={() => scene.current?.rearrange()} />
      </div>
      <span className="graph-busy faint" role="status">{busy ? "arranging…" : ""}</span>
    </div>
  );
}

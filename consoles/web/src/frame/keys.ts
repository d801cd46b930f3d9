// The keyboard of the console. `g` then a letter goes to a room; rooms add keys of their own while they are open.
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

import { ROOMS } from "./rooms";

export interface Key {
  keys: string;
  does: string;
}

export const FRAME_KEYS: readonly Key[] = [
  { keys: "Ctrl K  or  /", does: "search elements, pages, actions" },
  ...ROOMS.map((room) => ({ keys: `g ${room.key}`, does: `go to ${room.label}` })),
  { keys: "l", does: "back to live" },
  { keys: "Shift D", does: "dark or light" },
  { keys: "Esc", does: "close what is open" },
  { keys: "?", does: "this list" },
];

export const TOPOLOGY_KEYS: readonly Key[] = [
  { keys: "t", does: "picture or table" },
  { keys: "b", does: "what would break most" },
  { keys: "c", does: "compare with an earlier moment" },
  { keys: "+  −  0", does: "zoom in, out, fit" },
  { keys: "Arrows", does: "move the picture (when it has the focus)" },
  { keys: "r", does: "arrange again" },
];

export const MESH_KEYS: readonly Key[] = [
  { keys: "Arrows", does: "from site to site (when the picture has the focus)" },
  { keys: "Enter", does: "select the site" },
];

export const FLOWS_KEYS: readonly Key[] = [
  { keys: "i", does: "write the filter" },
  { keys: "d", does: "over time, diagram, records" },
  { keys: "p", does: "with the window before" },
  { keys: "r", does: "ask again" },
  { keys: "← →", does: "from moment to moment (when the picture has the focus)" },
];

export const ASK_KEYS: readonly Key[] = [
  { keys: "Ctrl Enter", does: "ask" },
  { keys: "e", does: "write the question" },
  { keys: "Ctrl Space", does: "complete the word" },
  { keys: "Esc", does: "stop what is asked; leave the text" },
  { keys: "v", does: "rows or sites" },
];

/** True where a key belongs to what is being typed. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

/** Runs `handlers` by `event.key`, while the calling part is on the page. */
export function useKeys(handlers: Record<string, (event: KeyboardEvent) => void>): void {
  const latest = useRef(handlers);
  useEffect(() => {
    latest.current = handlers;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector('[role="dialog"]')) return;
      const run = latest.current[event.key];
      if (!run) return;
      event.preventDefault();
      run(event);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

/** `g`, then within a second the letter of a room. */
export function useRoomKeys(): void {
  const navigate = useNavigate();
  useEffect(() => {
    // Times count from when the page was opened: 0 would be a moment ago.
    let pressed = -Infinity;
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "g") {
        pressed = event.timeStamp;
        return;
      }
      if (event.timeStamp - pressed > 1000) return;
      pressed = -Infinity;
      const room = ROOMS.find((each) => each.key === event.key);
      if (!room) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      void navigate({ to: room.path });
    };
    // First in line, so that the letter after `g` does not also do what it does alone.
    window.addEventListener("keydown", listen, { capture: true });
    return () => window.removeEventListener("keydown", listen, { capture: true });
  }, [navigate]);
}

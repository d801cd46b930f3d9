// A list to pick from: one stop for Tab, arrows within, virtual rows. Every row is a button.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, useState, type KeyboardEvent, type ReactNode } from "react";

interface Props<Item> {
  label: string;
  items: readonly Item[];
  itemKey: (item: Item) => string;
  show: (item: Item, index: number) => ReactNode;
  onPick: (item: Item) => void;
  chosen: (item: Item) => boolean;
  rowPx: number;
}

export function PickList<Item>({ label, items, itemKey, show, onPick, chosen, rowPx }: Props<Item>) {
  const scroll = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState(0);
  const virtual = useVirtualizer({ count: items.length, getScrollElement: () => scroll.current, estimateSize: () => rowPx, overscan: 8 });
  const current = Math.min(focus, items.length - 1);

  const keys = (event: KeyboardEvent) => {
    const step: Record<string, number> = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + 10, PageUp: current - 10, Home: 0, End: items.length - 1 };
    const to = step[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(items.length - 1, to));
    setFocus(next);
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => scroll.current?.querySelector<HTMLElement>(`[data-index="${next}"] > button`)?.focus({ preventScroll: true }));
  };

  return (
    <div className="pick" ref={scroll}>
      <ul aria-label={label} style={{ height: virtual.getTotalSize() }} onKeyDown={keys}>
        {virtual.getVirtualItems().map((row) => {
          const item = items[row.index];
          if (item === undefined) return null;
          return (
            <li key={itemKey(item)} data-index={row.index} aria-setsize={items.length} aria-posinset={row.index + 1} style={{ height: rowPx, transform: `translateY(${row.start}px)` }}>
              <button type="button" aria-pressed={chosen(item)} tabIndex={row.index === current ? 0 : -1} onFocus={() => setFocus(row.index)} onClick={() => onPick(item)}>
                {show(item, row.index)}
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

// The table of the console: sorted, virtual rows, keyboard, export. One hundred thousand rows stay smooth.
import { createSortedRowModel, rowSortingFeature, sortFn_alphanumeric, tableFeatures, useTable, type ColumnDef, type SortingState } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

import { Drop } from "./basics";
import { download, fileName, toCsv } from "./export";
import { Icon } from "./icons";

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric },
});

/** One column: what it is called, what it sorts and exports by, how it is shown. */
export interface Column<Row> {
  id: string;
  title: string;
  value: (row: Row) => string | number | null;
  show?: (row: Row) => ReactNode;
  /** CSS grid track; `1fr` without it. */
  width?: string;
  numeric?: boolean;
}

interface Props<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  onOpen?: (row: Row) => void;
  selected?: (row: Row) => boolean;
  empty: ReactNode;
  sort?: { id: string; desc: boolean };
  /** Fills its place and scrolls; else it is as high as its rows, at most `maxRows`. */
  fill?: boolean;
  maxRows?: number;
}

const ROW_PX = 32;

export function Table<Row extends object>({ label, columns, rows, rowKey, onOpen, selected, empty, sort, fill = false, maxRows = 14 }: Props<Row>) {
  const [sorting, setSorting] = useState<SortingState>(sort ? [sort] : []);
  const scroll = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState(0);
  const defs = useMemo(
    () =>
      columns.map((column): ColumnDef<typeof features, Row> => ({
        id: column.id,
        header: column.title,
        accessorFn: (row) => column.value(row) ?? undefined,
        sortUndefined: "last",
        ...(column.numeric ? {} : { sortFn: "alphanumeric" as const }),
      })),
    [columns],
  );
  const table = useTable({ features, columns: defs, data: rows, state: { sorting }, onSortingChange: setSorting, getRowId: rowKey, enableSortingRemoval: true });
  const sorted = table.getRowModel().rows;
  const virtual = useVirtualizer({ count: sorted.length, getScrollElement: () => scroll.current, estimateSize: () => ROW_PX, overscan: 12 });
  const tracks = columns.map((column) => column.width ?? "minmax(90px, 1fr)").join(" ");
  // Every row has the same tracks and the same least width, so that columns stay columns when the table scrolls sideways.
  const least = columns.reduce((sum, column) => sum + Number(/(\d+)px/.exec(column.width ?? "90px")?.[1] ?? 90), 0);
  const current = Math.min(focus, sorted.length - 1);

  const go = (index: number) => {
    const next = Math.max(0, Math.min(sorted.length - 1, index));
    setFocus(next);
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => scroll.current?.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus({ preventScroll: true }));
  };
  const keys = (event: KeyboardEvent, row: Row) => {
    const step: Record<string, number> = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + 15, PageUp: current - 15, Home: 0, End: sorted.length - 1 };
    const to = step[event.key];
    if (to !== undefined) {
      event.preventDefault();
      go(to);
    } else if (event.key === "Enter" && event.target === event.currentTarget && onOpen) {
      event.preventDefault();
      onOpen(row);
    }
  };

  return (
    <div className={fill ? "table fill" : "table"} role="table" aria-label={label} aria-rowcount={sorted.length + 1}>
      <div className="scroll" ref={scroll} style={fill ? undefined : { height: Math.min(Math.max(rows.length, 2), maxRows) * ROW_PX + ROW_PX + 2 }}>
        <div className="head" role="rowgroup" style={{ minWidth: least }}>
          <div role="row" className="tr" style={{ gridTemplateColumns: tracks }} aria-rowindex={1}>
            {columns.map((column) => {
              const direction = sorting.find((each) => each.id === column.id);
              return (
                <div key={column.id} role="columnheader" className={column.numeric ? "num" : ""} aria-sort={direction ? (direction.desc ? "descending" : "ascending") : "none"}>
                  <button type="button" onClick={() => table.getColumn(column.id)?.toggleSorting()}>
                    {column.title}
                    <span className="sort" aria-hidden="true">{direction ? (direction.desc ? "↓" : "↑") : ""}</span>
                  </button>
                </div>
              );
            })}
          </div>
        </div>
        {sorted.length === 0 ? (
          <div role="rowgroup"><div role="row"><div role="cell" className="empty">{empty}</div></div></div>
        ) : (
          <div role="rowgroup" className="body" style={{ height: virtual.getTotalSize(), minWidth: least }}>
            {virtual.getVirtualItems().map((item) => {
              const row = sorted[item.index];
              if (!row) return null;
              const chosen = selected?.(row.original) ?? false;
              return (
                <div
                  key={row.id}
                  role="row"
                  aria-rowindex={item.index + 2}
                  data-index={item.index}
                  className={`tr${onOpen ? " opens" : ""}${chosen ? " selected" : ""}`}
                  style={{ gridTemplateColumns: tracks, transform: `translateY(${item.start}px)` }}
                  tabIndex={item.index === current ? 0 : -1}
                  onFocus={() => setFocus(item.index)}
                  onKeyDown={(event) => keys(event, row.original)}
                  onClick={onOpen ? () => onOpen(row.original) : undefined}
                >
                  {columns.map((column) => (
                    <div key={column.id} role="cell" className={column.numeric ? "num" : ""}>
                      {column.show ? column.show(row.original) : (column.value(row.original) ?? <span className="faint" title="not measured">–</span>)}
                    </div>
                  ))}
                </div>
              );
            })}
          </div>
        )}
      </div>
    </div>
  );
}

/** "Export": the rows as CSV or JSON, and whatever else the room adds. */
export function ExportMenu<Row>({ what, at, columns, rows, more }: {
  what: string; at: string; columns: readonly Column<Row>[]; rows: readonly Row[] | (() => readonly Row[]); more?: { name: string; run: () => void }[];
}) {
  const all = () => (typeof rows === "function" ? rows() : rows);
  const csv = () => {
    const text = toCsv(columns.map((column) => ({ name: column.id, value: column.value })), all());
    download(fileName(what, at, "csv"), "text/csv;charset=utf-8", text);
  };
  const json = () => download(fileName(what, at, "json"), "application/json", JSON.stringify(all(), null, 2));
  const items = [...(more ?? []), { name: "CSV", run: csv }, { name: "JSON", run: json }];
  return (
    <Drop trigger={<><Icon name="export" /> Export</>} label="Export" align="end">
      <ul className="menu">
        {items.map((item) => (
          <li key={item.name}><button type="button" onClick={item.run}>{item.name}</button></li>
        ))}
      </ul>
    </Drop>
  );
}

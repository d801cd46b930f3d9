// What can be asked: tables with their columns, questions that are known by name, questions that were asked here.
import * as ToggleGroup from "@radix-ui/react-toggle-group";
import { useMemo, useState } from "react";

import { isLoggedOut } from "../../api/client";
import { useMe, useQueryTables } from "../../api/queries";
import type { QueryTable, QueryTables } from "../../api/types";
import { useNow } from "../../frame/clock";
import { Button, Failure, Nothing, Waiting } from "../../parts/basics";
import { compact, count, plural, span } from "../../parts/format";
import { Icon, StateMark } from "../../parts/icons";
import { PickList } from "../../parts/pick";
import { oneLine, type Past } from "./past";
import { firstLook, nameInSql, shortType } from "./sql";

type Shelf = "tables" | "known" | "asked";

interface Props {
  past: readonly Past[];
  onForget: () => void;
  /** Writes a name at the caret. */
  onName: (text: string) => void;
  /** Puts a whole question in place of the text, and asks it. */
  onQuestion: (sql: string) => void;
}

export function Browser(props: Props) {
  const [shelf, setShelf] = useState<Shelf>("tables");
  const tables = useQueryTables();
  return (
    <aside className="section flush ask-shelf" aria-label="What can be asked">
      <ToggleGroup.Root className="toggle" type="single" value={shelf} aria-label="What is listed" onValueChange={(next) => next && setShelf(next as Shelf)}>
        <ToggleGroup.Item value="tables">Tables</ToggleGroup.Item>
        <ToggleGroup.Item value="known">Known</ToggleGroup.Item>
        <ToggleGroup.Item value="asked">Asked</ToggleGroup.Item>
      </ToggleGroup.Root>
      {shelf !== "asked" && tables.isPending && <Waiting rows={8} />}
      {shelf !== "asked" && tables.error && !isLoggedOut(tables.error) && <Failure error={tables.error} again={() => void tables.refetch()} />}
      {shelf === "tables" && tables.data && <Tables tables={tables.data} onName={props.onName} onQuestion={props.onQuestion} />}
      {shelf === "known" && tables.data && <Known tables={tables.data} onQuestion={props.onQuestion} />}
      {shelf === "asked" && <Asked {...props} />}
    </aside>
  );
}

type Line = { id: string; table: QueryTable; column?: QueryTable["columns"][number] };

function Tables({ tables, onName, onQuestion }: { tables: QueryTables; onName: (text: string) => void; onQuestion: (sql: string) => void }) {
  const [text, setText] = useState("");
  const [open, setOpen] = useState<string | null>(null);
  const me = useMe();
  const lines = useMemo(() => linesOf(tables.tables, text.trim().toLowerCase(), open), [tables, text, open]);
  const opened = tables.tables.find((table) => table.name === open);
  return (
    <>
      <div className="ask-find">
        <Icon name="search" size={14} />
        <input aria-label="Find a table or a column" placeholder="Table or column" value={text} onChange={(event) => setText(event.target.value)} spellCheck={false} />
      </div>
      {lines.length === 0 && <p className="ask-none faint">No table and no column is called so.</p>}
      <PickList
        label="Tables and columns"
        items={lines}
        itemKey={(line) => line.id}
        rowPx={28}
        chosen={(line) => !line.column && line.table.name === open}
        onPick={(line) => (line.column ? onName(nameInSql(line.column.name)) : setOpen(open === line.table.name ? null : line.table.name))}
        show={(line) => (line.column ? <ColumnLine column={line.column} /> : <TableLine table={line.table} open={line.table.name === open} />)}
      />
      {opened && <Opened table={opened} site={me.data?.site ?? "this site"} onQuestion={onQuestion} />}
    </>
  );
}

/** Tables, and the columns of the open one; with a text, what is called so, columns under their tables. */
function linesOf(tables: readonly QueryTable[], wanted: string, open: string | null): Line[] {
  return tables.flatMap((table) => {
    const named = table.name.toLowerCase().includes(wanted);
    const columns = wanted && !named ? table.columns.filter((column) => column.name.toLowerCase().includes(wanted)) : table.name === open ? table.columns : [];
    if (wanted && !named && columns.length === 0) return [];
    return [{ id: table.name, table }, ...columns.map((column) => ({ id: `${table.name} ${column.name}`, table, column }))];
  });
}

function TableLine({ table, open }: { table: QueryTable; open: boolean }) {
  return (
    <span className={`ask-line${open ? " open" : ""}`} title={`${table.name}: ${plural(table.rows, "row")} at this site`}>
      <Icon name="chevron" size={12} />
      <span className="name mono">{table.name}</span>
      <span className="faint">{table.rows === 0 ? "none" : compact(table.rows)}</span>
    </span>
  );
}

function ColumnLine({ column }: { column: QueryTable["columns"][number] }) {
  return (
    <span className="ask-line column" title={`${column.name}: ${column.type}. Writes it at the caret`}>
      <span className="name mono">{column.name}</span>
      <span className="faint">{shortType(column.type)}</span>
    </span>
  );
}

function Opened({ table, site, onQuestion }: { table: QueryTable; site: string; onQuestion: (sql: string) => void }) {
  const now = useNow();
  const forRoom = table.dropped_quota + table.dropped_disk_full;
  return (
    <div className="ask-opened">
      <p className="faint">
        {table.rows === 0 ? `No rows at ${site} yet` : `${plural(table.rows, "row")} at ${site}`}
        {table.oldest && `, the oldest of ${span(now - Date.parse(table.oldest))} ago`}
      </p>
      {forRoom > 0 && <p className="tone-warn"><StateMark mark="triangle" tone="warn" /> {count(forRoom)} dropped here for want of room</p>}
      <Button icon="play" onClick={() => onQuestion(firstLook(table))}>Newest rows</Button>
    </div>
  );
}

function Known({ tables, onQuestion }: { tables: QueryTables; onQuestion: (sql: string) => void }) {
  return (
    <ul className="ask-questions" aria-label="Known questions">
      {tables.named.map((named) => (
        <li key={named.name}>
          <button type="button" onClick={() => onQuestion(named.sql)} title={named.sql}>
            <span>{named.text}</span>
            <span className="faint mono">{named.name}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Asked({ past, onForget, onQuestion }: Props) {
  const now = useNow();
  if (past.length === 0) return <Nothing title="Nothing asked yet">Questions that you ask are kept in this browser, and nothing of their answers.</Nothing>;
  return (
    <>
      <ul className="ask-questions" aria-label="Asked in this browser">
        {past.map((each) => (
          <li key={each.sql}>
            <button type="button" onClick={() => onQuestion(each.sql)} title={each.sql}>
              <span className="mono">{oneLine(each.sql)}</span>
              <span className="faint">{span(now - each.atMs)} ago</span>
            </button>
          </li>
        ))}
      </ul>
      <div className="ask-opened">
        <p className="faint">Kept in this browser only.</p>
        <Button onClick={onForget}>Forget them</Button>
      </div>
    </>
  );
}

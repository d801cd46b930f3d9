// The answer: its rows, and what it stands on where the eye is.
import * as ToggleGroup from "@radix-ui/react-toggle-group";
import { useMemo } from "react";

import type { AskedSite, QueryAnswer } from "../../api/types";
import { useNow } from "../../frame/clock";
import { Button, Copy, ElementLink, Section, State } from "../../parts/basics";
import { download, fileName } from "../../parts/export";
import { count, millis, plural } from "../../parts/format";
import { outcome, worstFirst } from "../../parts/standing";
import { StandsOn } from "../../parts/StandsOn";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { bytesText } from "../mesh/rates";
import { answerRows, exactText, isNumber, records, shown, sortValue, stamp, summary, uniqueNames, widths, type Row, type Value } from "./answer";

interface Props {
  answer: QueryAnswer;
  askedMs: number;
  sql: string;
  view: "rows" | "sites";
  onView: (view: "rows" | "sites") => void;
  row: number | null;
  onRow: (row: number | null) => void;
  onLonger?: (() => void) | undefined;
  onAgain: () => void;
}

const SITE_COLUMNS: readonly Column<AskedSite>[] = [
  { id: "site", title: "Site", width: "minmax(110px, 1fr)", value: (row) => row.site },
  { id: "node", title: "Node", width: "minmax(80px, 0.6fr)", value: (row) => row.node },
  { id: "state", title: "Outcome", width: "120px", value: (row) => row.state, show: (row) => <State look={outcome(row)} /> },
  { id: "rows", title: "Rows sent", width: "96px", numeric: true, value: (row) => row.rows, show: (row) => count(row.rows) },
  { id: "bytes", title: "Sent", width: "96px", numeric: true, value: (row) => row.bytes, show: (row) => bytesText(row.bytes) },
  { id: "took_ms", title: "Took", width: "96px", numeric: true, value: (row) => row.took_ms, show: (row) => millis(row.took_ms) },
  { id: "error", title: "Why", width: "minmax(160px, 2fr)", value: (row) => row.error, show: (row) => <span title={row.error ?? undefined}>{row.error ?? ""}</span> },
];
const ELEMENT = /^(?:host|service|agent|hop|device|prefix|as|site):\S+$/;

export function Answer({ answer, askedMs, sql, view, onView, row, onRow, onLonger, onAgain }: Props) {
  const now = useNow();
  const asked = new Date(askedMs).toISOString();
  const whole = { sql, asked_at: asked, ...answer, columns: answer.columns, rows: undefined };
  return (
    <Section
      title="Answer"
      flush
      note={<><span className={answer.complete ? "" : "tone-warn"}>{summary(answer)}</span> · <time dateTime={asked} title={asked}>asked {stamp(asked, now).replace(/\.\d+$/, "")}</time></>}
      actions={<>
        <ToggleGroup.Root className="toggle" type="single" value={view} aria-label="What is shown" onValueChange={(next) => next && onView(next as "rows" | "sites")}>
          <ToggleGroup.Item value="rows">Rows</ToggleGroup.Item>
          <ToggleGroup.Item value="sites">Sites</ToggleGroup.Item>
        </ToggleGroup.Root>
        {view === "sites" ? <ExportMenu what="asked-sites" at={asked} columns={SITE_COLUMNS} rows={answer.sites} /> : <ExportRows answer={answer} at={asked} whole={whole} />}
      </>}
    >
      <StandsOn answer={{ sites: answer.sites, approximations: answer.approximations, cut: answer.cut ? cutText(answer) : undefined }} onSites={() => onView("sites")} onLonger={onLonger} onAgain={onAgain} />
      {view === "sites" ? (
        <Table label="Sites that were asked" columns={SITE_COLUMNS} rows={worstFirst(answer.sites)} rowKey={(site) => `${site.site}/${site.node}`} empty="No site was asked: nothing was wanted of any." fill />
      ) : (
        <RowsAndRecord answer={answer} row={row} onRow={onRow} />
      )}
    </Section>
  );
}

function cutText(answer: QueryAnswer): string {
  return `there are more rows than the ${plural(answer.rows.length, "row")} here, and sorting sorts only these. Group, filter or order them in the question; holm events export has all rows of a table.`;
}

/** The rows, and beside them the one that is open, whole. */
export function RowsAndRecord({ answer, row, onRow }: { answer: QueryAnswer; row: number | null; onRow: (row: number | null) => void }) {
  const rows = useMemo(() => answerRows(answer), [answer]);
  const chosen = row === null ? undefined : rows[row];
  return (
    <div className={chosen ? "ask-rows with-record" : "ask-rows"}>
      <Rows answer={answer} rows={rows} chosen={row} onRow={onRow} />
      {chosen && <Record answer={answer} row={chosen} onClose={() => onRow(null)} />}
    </div>
  );
}

function Rows({ answer, rows, chosen, onRow }: { answer: QueryAnswer; rows: readonly Row[]; chosen: number | null; onRow: (row: number | null) => void }) {
  const now = useNow();
  // Widths and days are those of the minute in which the answer came: columns do not move while they are read.
  const minute = Math.floor(now / 60_000) * 60_000;
  const columns = useMemo(() => {
    const tracks = widths(answer, rows, minute);
    const names = uniqueNames(answer.columns.map((column) => column.name));
    return answer.columns.map(({ type }, n): Column<Row> => ({
      id: `${n}`,
      title: names[n] ?? "",
      width: tracks[n] ?? "1fr",
      numeric: isNumber(type),
      value: (row) => sortValue(row.values[n], type),
      show: (row) => <Cell value={row.values[n]} type={type} nowMs={minute} />,
    }));
  }, [answer, rows, minute]);
  if (columns.length === 0) return <p className="ask-none faint">The answer has no columns.</p>;
  return <Table label="Rows" columns={columns} rows={rows} rowKey={(row) => String(row.id)} onOpen={(row) => onRow(row.id === chosen ? null : row.id)} selected={(row) => row.id === chosen} empty={answer.complete ? "No row fits the question. All that was asked answered." : "No row from those that answered; others are missing."} fill />;
}

function Cell({ value, type, nowMs }: { value: Value | undefined; type: string; nowMs: number }) {
  const text = shown(value, type, nowMs);
  if (text === null) return <span className="faint" title="null: no value">–</span>;
  if (typeof value === "string" && ELEMENT.test(value)) return <ElementLink id={value} />;
  return <span title={exactText(value)}>{text}</span>;
}

function Record({ answer, row, onClose }: { answer: QueryAnswer; row: Row; onClose: () => void }) {
  const names = uniqueNames(answer.columns.map((column) => column.name));
  return (
    <aside className="ask-record" aria-label="The row">
      <header>
        <h3>Row {row.id + 1}</h3>
        <Copy text={JSON.stringify(Object.fromEntries(names.map((name, n) => [name, row.values[n] ?? null])), null, 2)} label="Copy the row as JSON" />
        <Button icon="close" label="Close" shortcut="Esc" onClick={onClose} />
      </header>
      <dl tabIndex={0}>
        {answer.columns.map((column, n) => {
          const value = row.values[n];
          return (
            <div key={n}>
              <dt title={column.type}>{names[n]}</dt>
              <dd className="mono">{value === null || value === undefined ? <span className="faint">–</span> : pretty(value)}</dd>
            </div>
          );
        })}
      </dl>
    </aside>
  );
}

/** Text that is JSON with a member a line. */
function pretty(value: Value): string {
  const text = exactText(value);
  if (typeof value !== "string" || !/^[{[]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

export function ExportRows({ answer, at, whole, what: name = "answer" }: { answer: QueryAnswer; at: string; whole: object; what?: string }) {
  const what = `${name}${answer.complete ? "" : "-incomplete"}${answer.cut ? "-cut" : ""}`;
  const columns = uniqueNames(answer.columns.map((column) => column.name)).map((name): Column<Record<string, Value>> => ({
    id: name,
    title: name,
    value: (row) => {
      const value = row[name] ?? null;
      return typeof value === "number" || typeof value === "string" || value === null ? value : exactText(value);
    },
  }));
  const all = () => download(fileName(`${what}-whole`, at, "json"), "application/json", JSON.stringify({ ...whole, rows: records(answer) }, null, 2));
  return <ExportMenu what={what} at={at} columns={columns} rows={() => records(answer)} more={[{ name: "JSON with question and sites", run: all }]} />;
}

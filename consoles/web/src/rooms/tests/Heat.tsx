// How long a test took as a picture of time by latency: failures above, what was not measured hatched.
import { useState, type KeyboardEvent, type PointerEvent } from "react";

import { isLoggedOut } from "../../api/client";
import { useTestHeat } from "../../api/queries";
import type { TestHeat } from "../../api/types";
import { split } from "../../frame/search";
import { useUrl } from "../../frame/scope";
import { Failure, Nothing, SameBy, Time, Waiting } from "../../parts/basics";
import { count, millis, NOT_MEASURED, plural, span } from "../../parts/format";
import { Table } from "../../parts/table";
import { FAILED, fields, fieldText, labelled, middleRow, moved, rowsOf, rowText } from "./heat";
import "./heat.css";

const [WIDE, TALL, LEFT, FOOT] = [720, 220, 64, 4];
/** The row of failures, and what keeps it apart. */
const [FAILED_TALL, GAP] = [14, 4];
const EDGES = 6;

export function Heat({ name, hours }: { name: string; hours: number }) {
  const sites = split(useUrl().site);
  const found = useTestHeat(name, hours, sites);
  const heat = found.data;
  if (found.error && !isLoggedOut(found.error)) return <Failure error={found.error} again={() => void found.refetch()} />;
  if (!heat) return <Waiting rows={4} />;
  const missing = heat.asked.sites.filter((site) => site.state === "late" || site.state === "failed");
  return (
    <div className="heat" role="region" aria-label={`How long ${name} took`}>
      {missing.length > 0 && <p className="notice tone-warn-soft" role="note">Not in the picture: {missing.map((site) => `${site.site} (${site.error ?? "late"})`).join(", ")}</p>}
      {heat.runs === 0 ? <Nothing title="Not measured">No run of {name} in this time{sites.length > 0 && ` at ${sites.join(", ")}`}{missing.length > 0 && ", of the sites that answered"}.</Nothing> : <Picture heat={heat} sites={sites} />}
      <SameBy path={`/v1/tests/${name}/heat?from=${heat.asked.from}&to=${heat.asked.to}${sites.map((site) => `&site=${site}`).join("")}`} cli={`holm test heat ${name} --from ${heat.asked.from} --to ${heat.asked.to}${sites.map((site) => ` --site ${site}`).join("")}`} />
    </div>
  );
}

function Picture({ heat, sites }: { heat: TestHeat; sites: readonly string[] }) {
  const [field, setField] = useState<{ column: number; row: number } | null>(null);
  const rows = Math.max(rowsOf(heat), 1);
  const width = (WIDE - LEFT) / heat.columns.length;
  const top = FAILED_TALL + GAP;
  const height = (TALL - FOOT - top) / rows;
  const y = (row: number) => (row === FAILED ? 0 : TALL - FOOT - (row + 1) * height);
  const x = (column: number) => LEFT + column * width;
  const shown = field && { ...field, column: Math.min(field.column, heat.columns.length - 1) };
  const at = shown && heat.columns[shown.column];
  const said = `${plural(heat.runs, "run")}, ${heat.failed === 0 ? "none failed" : `${count(heat.failed)} failed`}`;
  const point = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.floor((((event.clientX - box.left) / box.width) * WIDE - LEFT) / width);
    const down = ((event.clientY - box.top) / box.height) * TALL;
    const row = down < top ? FAILED : Math.floor((TALL - FOOT - down) / height);
    setField(column < 0 || column >= heat.columns.length || row >= rows || row < FAILED ? null : { column, row });
  };
  const latest = { column: heat.columns.length - 1, row: FAILED };
  const press = (event: KeyboardEvent) => {
    const next = moved(heat, shown ?? latest, event.key);
    if (!next) return;
    event.preventDefault();
    setField(next);
  };
  return (
    <figure>
      <figcaption>{said} <span className="faint"><Time iso={heat.asked.from} /> to <Time iso={heat.asked.to} />, {span(heat.width_ms)} a column; {sites.length > 0 ? sites.join(", ") : "all sites"}. The darker, the more of a column&rsquo;s runs; hatched: not measured.</span></figcaption>
      <svg viewBox={`0 0 ${WIDE} ${TALL}`} role="img" aria-label={`${said}; arrow keys tell each field`} tabIndex={0} onFocus={() => setField((held) => held ?? latest)} onKeyDown={press} onPointerMove={point} onPointerLeave={() => setField(null)}>
        <defs><pattern id="heat-none" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" x2="0" y1="0" y2="6" className="heat-hatch" /></pattern></defs>
        {heat.columns.map((column, n) => column.runs === 0 && <rect key={column.at} x={x(n)} y={0} width={width} height={TALL - FOOT} fill="url(#heat-none)" />)}
        {fields(heat).map((each) => <rect key={`${each.column} ${each.row}`} className={each.row === FAILED ? `heat-failed heat-${each.tone}` : `heat-took heat-${each.tone}`} x={x(each.column)} y={y(each.row)} width={Math.max(width - 0.5, 0.5)} height={each.row === FAILED ? FAILED_TALL : Math.max(height - 0.5, 0.5)} />)}
        {shown && <rect className="heat-shown" x={x(shown.column)} y={y(shown.row)} width={width} height={shown.row === FAILED ? FAILED_TALL : height} />}
        <text className="heat-label" x={LEFT - 6} y={FAILED_TALL - 3}>failed</text>
        {labelled(heat, EDGES).map((edge) => <text key={edge} className="heat-label" x={LEFT - 6} y={Math.max(TALL - FOOT - edge * height + 3, top + 8)}>{millis(heat.edges_ms[edge])}</text>)}
      </svg>
      <output className="heat-said" aria-label="The field that is shown" aria-live="polite">{shown && at ? <><Time iso={at.at} />: {fieldText(heat, shown.column, shown.row)}</> : <span className="faint">Point at a field, or go to the picture and use the arrow keys.</span>}</output>
      <details>
        <summary>As a table</summary>
        <Table
          label={`How long ${heat.test} took`} rows={heat.columns.filter((column) => column.runs > 0)} rowKey={(column) => column.at} empty="Nothing was measured."
          columns={[
            { id: "at", title: "From", width: "minmax(140px, 1fr)", value: (column) => column.at, show: (column) => <Time iso={column.at} /> },
            { id: "runs", title: "Runs", width: "80px", numeric: true, value: (column) => column.runs },
            { id: "failed", title: "Failed", width: "80px", numeric: true, value: (column) => column.failed },
            { id: "middle", title: "The middle one took", width: "minmax(140px, 1fr)", value: (column) => middleRow(column.rows), show: (column) => { const row = middleRow(column.rows); return row === null ? NOT_MEASURED : rowText(heat, row); } },
            { id: "longest", title: "The longest took", width: "minmax(140px, 1fr)", value: (column) => column.rows.findLastIndex((runs) => runs > 0), show: (column) => rowText(heat, column.rows.findLastIndex((runs) => runs > 0)) || NOT_MEASURED },
          ]}
        />
      </details>
    </figure>
  );
}

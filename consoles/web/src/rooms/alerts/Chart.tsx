// A group of a rule over time: its values, its limits, and when it would have fired.
import type { AlertPreview } from "../../api/types";
import { Time } from "../../parts/basics";
import { plural } from "../../parts/format";
import { Table } from "../../parts/table";
import { groupText, picture, rounded } from "./alerts";

const [WIDE, TALL] = [720, 120];

export function Chart({ preview, group }: { preview: AlertPreview; group: AlertPreview["groups"][number] }) {
  const shown = picture(preview, group, WIDE, TALL);
  const times = group.firings.length;
  const said = `${groupText(group.group)}: would have fired ${times === 0 ? "never" : plural(times, "time")}`;
  return (
    <figure className="alert-chart">
      <figcaption>{said} <span className="faint">{rounded(shown.low)} to {rounded(shown.high)}, <Time iso={preview.from} /> to <Time iso={preview.to} /></span></figcaption>
      <svg viewBox={`0 0 ${WIDE} ${TALL}`} role="img" aria-label={said} preserveAspectRatio="none">
        {shown.firings.map((firing) => (
          <g key={firing.from}>
            <rect className="alert-held" x={firing.held} width={Math.max(0, firing.from - firing.held)} y={0} height={TALL} />
            <rect className="alert-fired" x={firing.from} width={Math.max(2, firing.to - firing.from)} y={0} height={TALL} />
          </g>
        ))}
        {shown.band && <polygon className="alert-band" points={shown.band} />}
        {shown.above !== null && <line className="alert-limit" x1={0} x2={WIDE} y1={shown.above} y2={shown.above} />}
        {shown.below !== null && <line className="alert-limit" x1={0} x2={WIDE} y1={shown.below} y2={shown.below} />}
        {shown.pieces.map((piece) => <polyline key={piece} className="alert-line-of" points={piece} />)}
      </svg>
      <details>
        <summary>As a table</summary>
        <Table
          label={`Values of ${groupText(group.group)}`} rows={group.points} rowKey={(row) => row.at} empty="None."
          columns={[
            { id: "at", title: "At", width: "minmax(150px, 1fr)", value: (row) => row.at, show: (row) => <Time iso={row.at} /> },
            { id: "value", title: "Value", width: "120px", numeric: true, value: (row) => row.value ?? null, show: (row) => rounded(row.value) },
            { id: "least", title: "Usual from", width: "120px", numeric: true, value: (row) => row.least ?? null, show: (row) => rounded(row.least) },
            { id: "most", title: "Usual to", width: "120px", numeric: true, value: (row) => row.most ?? null, show: (row) => rounded(row.most) },
          ]}
        />
        <ul>{group.firings.map((firing) => <li key={firing.at}>fired <Time iso={firing.at} />, held since <Time iso={firing.since} />, {firing.end ? <>over <Time iso={firing.end} /></> : "not over"}</li>)}</ul>
      </details>
    </figure>
  );
}

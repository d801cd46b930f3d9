// Flows from value to value of several dimensions. A box narrows the filter to itself; the table below has the same bands.
import { useMemo, useState } from "react";

import type { FlowKeyPart, FlowLanguage, FlowSankey } from "../../api/types";
import { Table, type Column } from "../../parts/table";
import { amount, amountText, conditions, keyText, type Metric } from "./flows";
import { BOX_PX, layOut } from "./sankey";
import { useWidth } from "./SeriesPicture";

const LABEL_PX = 16;
const HEAD_PX = 24;

interface Props {
  answer: FlowSankey;
  metric: Metric;
  language: FlowLanguage | undefined;
  onKey: (key: readonly FlowKeyPart[]) => void;
}

export interface SankeyRow {
  from: string;
  to: string;
  bytes: number;
  packets: number;
  flows: number;
}

export function sankeyRows(answer: FlowSankey): SankeyRow[] {
  return answer.links.map((link) => ({ from: keyText(answer.nodes[link.source]?.key ?? []), to: keyText(answer.nodes[link.target]?.key ?? []), bytes: link.bytes, packets: link.packets, flows: link.flows }));
}

export function sankeyColumns(metric: Metric): Column<SankeyRow>[] {
  return [
    { id: "from", title: "From", width: "minmax(160px, 1fr)", value: (row) => row.from },
    { id: "to", title: "To", width: "minmax(160px, 1fr)", value: (row) => row.to },
    ...(["bytes", "packets", "flows"] as const).map((each): Column<SankeyRow> => ({ id: each, title: each === metric ? `${title(each)} ↧` : title(each), width: "110px", numeric: true, value: (row) => row[each], show: (row) => amountText(row, each) })),
  ];
}

const title = (metric: Metric) => ({ bytes: "Bytes", packets: "Packets", flows: "Flows" })[metric];

export function SankeyDiagram({ answer, metric, language, onKey }: Props) {
  const [place, width] = useWidth();
  const [marked, setMarked] = useState<number | null>(null);
  const busiest = Math.max(1, ...[0, 1, 2, 3, 4].map((layer) => answer.nodes.filter((node) => node.layer === layer).length));
  const height = Math.max(180, Math.min(620, busiest * 30));
  const picture = useMemo(
    () => layOut({ nodes: answer.nodes.map((node) => ({ layer: node.layer, value: amount(node, metric) })), links: answer.links.map((link) => ({ source: link.source, target: link.target, value: amount(link, metric) })) }, width - 2, height),
    [answer, metric, width, height],
  );
  const columns = useMemo(() => sankeyColumns(metric), [metric]);
  const rows = useMemo(() => sankeyRows(answer), [answer]);
  const heads = answer.by.map((name) => language?.dimensions.find((each) => each.name === name)?.text ?? name);
  return (
    <>
      <div ref={place} className="flow-sankey" data-picture="sankey">
        <svg width={width} height={height + HEAD_PX} role="group" aria-label={`Flows from ${heads.join(" to ")}`}>
          {heads.map((head, layer) => <text key={head} className="head" x={picture.layers > 1 ? (layer / (picture.layers - 1)) * (width - 2) : 0} y={12} textAnchor={layer === 0 ? "start" : layer === picture.layers - 1 ? "end" : "middle"}>{head}</text>)}
          <g transform={`translate(0 ${HEAD_PX})`}>
            {picture.bands.map((band, n) => (
              <path key={n} d={band.path} className={`flow${marked !== null ? (band.source === marked || band.target === marked ? " marked" : " aside") : ""}`} strokeWidth={band.wide}>
                <title>{`${rows[answer.links.findIndex((link) => link.source === band.source && link.target === band.target)]?.from ?? ""} → ${keyText(answer.nodes[band.target]?.key ?? [])}`}</title>
              </path>
            ))}
            {picture.boxes.map((box, n) => {
              const node = answer.nodes[n];
              if (!node) return null;
              const last = node.layer === picture.layers - 1 && picture.layers > 1;
              const text = keyText(node.key);
              const does = conditions(node.key) !== null;
              return (
                <g key={n} className="box" role="button" tabIndex={0} aria-disabled={!does} aria-label={`${text}: ${amountText(node, metric)}${does ? "; only these" : ""}`} onPointerEnter={() => setMarked(n)} onPointerLeave={() => setMarked(null)} onFocus={() => setMarked(n)} onBlur={() => setMarked(null)} onClick={() => onKey(node.key)} onKeyDown={(event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onKey(node.key); } }}>
                  <rect x={box.x} y={box.y} width={BOX_PX} height={Math.max(1, box.high)} />
                  {(box.high >= 9 || marked === n) && <text x={last ? box.x - 6 : box.x + LABEL_PX} y={box.y + box.high / 2 + 4} textAnchor={last ? "end" : "start"}>{text} <tspan className="amount">{amountText(node, metric)}</tspan></text>}
                </g>
              );
            })}
          </g>
        </svg>
      </div>
      <p className="flow-legend faint">The {answer.links.length === 0 ? "diagram has no combinations" : "largest combinations"}; {amountText(answer.rest, metric)} of {amountText(answer.total, metric)} {metric === "bytes" ? "" : metric} is in combinations that are not shown.</p>
      <Table label="Bands of the diagram" columns={columns} rows={rows} rowKey={(row) => `${row.from} ${row.to}`} empty="No flows fit." maxRows={8} />
    </>
  );
}

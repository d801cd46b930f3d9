// What went over the mesh, by channel, and what did not come through, by reason.
import { useState } from "react";

import type { MeshView } from "../../api/types";
import { Section } from "../../parts/basics";
import { count, NOT_MEASURED, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { bytesText, metered, type Meter, type Rates } from "./rates";

interface ChannelRow {
  channel: string;
  bytesIn: number;
  bytesOut: number;
  inRate: number | null;
  outRate: number | null;
}

interface DropRow {
  name: string;
  count: number;
  rate: number | null;
}

const CHANNELS: readonly Column<ChannelRow>[] = [
  { id: "channel", title: "Channel", width: "minmax(90px, 1fr)", value: (row) => row.channel },
  { id: "bytes_in", title: "In", width: "84px", numeric: true, value: (row) => row.bytesIn, show: (row) => bytesText(row.bytesIn) },
  { id: "bytes_out", title: "Out", width: "84px", numeric: true, value: (row) => row.bytesOut, show: (row) => bytesText(row.bytesOut) },
  { id: "in_rate", title: "In, a second", width: "104px", numeric: true, value: (row) => row.inRate, show: (row) => <Rate rate={row.inRate} text={bytesText} /> },
  { id: "out_rate", title: "Out, a second", width: "110px", numeric: true, value: (row) => row.outRate, show: (row) => <Rate rate={row.outRate} text={bytesText} /> },
];

const DROPS: readonly Column<DropRow>[] = [
  { id: "name", title: "Reason", width: "minmax(150px, 1fr)", value: (row) => row.name, show: (row) => row.name.replaceAll("_", " ") },
  { id: "count", title: "Since start", width: "100px", numeric: true, value: (row) => row.count, show: (row) => count(row.count) },
  { id: "rate", title: "A second", width: "92px", numeric: true, value: (row) => row.rate, show: (row) => <Rate rate={row.rate} text={(rate) => (rate === 0 ? "0" : rate.toFixed(rate < 10 ? 1 : 0))} /> },
];

function Rate({ rate, text }: { rate: number | null; text: (rate: number) => string }) {
  return rate === null ? <span className="faint" title="not measured: it takes two answers">{NOT_MEASURED}</span> : <>{text(rate)}</>;
}

/** The rates between the last two answers that were far enough apart. */
export function useRates(view: MeshView, atMs: number): Rates | null {
  const [meter, setMeter] = useState<Meter>(() => metered(null, { atMs, view }));
  if (atMs !== meter.base.atMs) {
    const next = metered(meter, { atMs, view });
    if (next !== meter) setMeter(next);
  }
  return meter.rates;
}

export function Traffic({ view, rates }: { view: MeshView; rates: Rates | null }) {
  const channels = view.channels.map((each): ChannelRow => {
    const rate = rates?.bytes.get(each.channel);
    return { channel: each.channel, bytesIn: each.bytes_in, bytesOut: each.bytes_out, inRate: rate?.in ?? null, outRate: rate?.out ?? null };
  });
  const drops = view.drops.map((each): DropRow => ({ ...each, rate: rates?.drops.get(each.name) ?? null })).filter((each) => each.count > 0).sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  const quiet = view.drops.filter((each) => each.count === 0);
  return (
    <div className="two">
      <Section title="Traffic by channel" note={rates ? `since the start; a second, over the last ${(rates.overMs / 1000).toFixed(0)} s` : "since the start"} flush>
        <Table label="Traffic by channel" columns={CHANNELS} rows={channels} rowKey={(row) => row.channel} empty="No byte went over the mesh yet." maxRows={10} />
      </Section>
      <Section title="Drops by reason" note="dropped, refused or failed since the start" flush>
        <Table label="Drops by reason" columns={DROPS} rows={drops} rowKey={(row) => row.name} empty="Nothing was dropped, refused or failed." maxRows={10} />
        {quiet.length > 0 && <p className="mesh-line faint" title={quiet.map((each) => each.name).join(", ")}>{plural(quiet.length, "other reason")}: none. {quiet.slice(0, 6).map((each) => each.name.replaceAll("_", " ")).join(", ")}{quiet.length > 6 && ", …"}</p>}
      </Section>
    </div>
  );
}

// What readers of rows must know of the event store of this site. No I/O.
import type { EventStore } from "../../api/types";
import { count } from "../../parts/format";

export interface StoreTrouble {
  tone: "bad" | "warn";
  title: string;
  text: string;
}

export function storeTroubles(store: EventStore): StoreTrouble[] {
  const troubles: StoreTrouble[] = [];
  if (store.problem !== null) troubles.push({ tone: "bad", title: "Rows are not written at this site:", text: `${store.problem}.` });
  if (store.dropped_queue_full > 0) troubles.push({ tone: "bad", title: "Rows were lost at this site:", text: `${count(store.dropped_queue_full)} since the node started, for the disk was full or too slow.` });
  if (store.damaged > 0) troubles.push({ tone: "warn", title: "Files are damaged at this site:", text: `${count(store.damaged)} were set aside, and their rows are not in any answer.` });
  const to = store.clickhouse;
  if (to) {
    const waiting = to.waiting_rows > 0 ? ` ${count(to.waiting_rows)} rows wait.` : "";
    if (to.error !== null) troubles.push({ tone: "warn", title: "ClickHouse gets no rows:", text: `${to.error}.${waiting}` });
    for (const [table, why] of Object.entries(to.refused)) troubles.push({ tone: "warn", title: `ClickHouse refuses ${table}:`, text: `${why}.` });
    const never = to.given_up_rows + to.lost_rows;
    if (never > 0) troubles.push({ tone: "warn", title: "Rows never came to ClickHouse:", text: `${count(to.given_up_rows)} were too old to be sent, ${count(to.lost_rows)} were dropped here before.` });
  }
  return troubles;
}

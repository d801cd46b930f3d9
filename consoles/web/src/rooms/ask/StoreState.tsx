// What is wrong with the event store of this site, where rows are asked for: a full disk, rows that are lost, a ClickHouse that takes none.
import { useEventStore } from "../../api/queries";
import type { EventStore } from "../../api/types";
import { StateMark } from "../../parts/icons";
import { storeTroubles } from "./store";

export function StoreState() {
  const store = useEventStore();
  return store.data ? <Troubles store={store.data} /> : null;
}

function Troubles({ store }: { store: EventStore }) {
  return (
    <>
      {storeTroubles(store).map(({ tone, title, text }) => (
        <p key={title} className={`notice tone-${tone}-soft`} role="note">
          <StateMark mark={tone === "bad" ? "square" : "triangle"} tone={tone} />
          <span><strong>{title}</strong> {text}</span>
        </p>
      ))}
    </>
  );
}

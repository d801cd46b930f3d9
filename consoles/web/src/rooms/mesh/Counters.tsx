// Counts by name.
import { count } from "../../parts/format";

export function Counters({ counters }: { counters: Record<string, number> }) {
  const entries = Object.entries(counters).sort(([a], [b]) => a.localeCompare(b));
  if (entries.length === 0) return <p className="faint">Nothing was counted yet.</p>;
  return (
    <dl className="counters">
      {entries.map(([name, value]) => (
        <div key={name}><dt>{name.replaceAll("_", " ")}</dt><dd>{count(value)}</dd></div>
      ))}
    </dl>
  );
}

// The changes that an incident may come from, the likeliest first, each with what its score is made of.
import { isLoggedOut } from "../../api/client";
import { useRankedChanges } from "../../api/queries";
import type { RankedChange, RecordedChange } from "../../api/types";
import { Age, ElementLink, Failure, SameBy, Section, Waiting } from "../../parts/basics";
import { changed, showing, telling } from "../changes/changes";

export function RankedChanges({ id }: { id: string }) {
  const found = useRankedChanges(id);
  return (
    <Section title="What was changed" note={found.data && `${showing(found.data.items.length, found.data.total)} of the day before, the likeliest first`}>
      {found.error && !isLoggedOut(found.error) && <Failure error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Waiting rows={3} />}
      {found.data && found.data.items.length === 0 && <p className="faint">No change is known from the day before it began.</p>}
      {found.data && found.data.items.length > 0 && (
        <ol className="incident-changes">
          {found.data.items.map((ranked) => <One key={ranked.change.id} ranked={ranked} />)}
        </ol>
      )}
      {found.data && <SameBy path={`/v1/incidents/${id}/changes`} cli={`holm incident changes ${id}`} />}
    </Section>
  );
}

function One({ ranked }: { ranked: RankedChange }) {
  const { change } = ranked;
  const { elements, words } = changed(change);
  return (
    <li className="incident-change">
      <span className="incident-score" title="from 0 to 100">{ranked.score.toFixed(0)}</span>
      <div>
        <p>
          <ChangeTitle change={change} />{" "}
          {elements.map((element) => <span key={element} className="incident-target"><ElementLink id={element} /></span>)}
          {words.length > 0 && <span className="faint">{words.join(", ")} </span>}
          <span className="faint">{change.author && `${change.author}, `}<Age iso={change.at} /></span>
        </p>
        <ul className="incident-reasons faint">
          {telling(ranked).map((part) => <li key={part.name} title={`${part.name}: ${part.value} × ${part.weight}`}>{part.why}{part.points > 0 && <span className="incident-points"> +{part.points.toFixed(0)}</span>}</li>)}
        </ul>
      </div>
    </li>
  );
}

/** Its kind and its title, which leads to where it was made if that is known. */
export function ChangeTitle({ change }: { change: RecordedChange }) {
  return <><span className="tag">{change.kind}</span> {change.url ? <a href={change.url} target="_blank" rel="noreferrer noopener">{change.title}</a> : change.title}</>;
}

// All that happened, in order of time, with the changes that it may come from among it.
import { useRankedChanges } from "../../api/queries";
import type { IncidentDetail } from "../../api/types";
import { Section, Time } from "../../parts/basics";
import { plural } from "../../parts/format";
import { toldBy } from "../changes/changes";
import { ChangeTitle } from "./RankedChanges";
import { entryText, happenings, type Happening } from "./incidents";

export function Timeline({ detail }: { detail: IncidentDetail }) {
  const ranked = useRankedChanges(detail.incident.id).data?.items ?? [];
  const note = [plural(detail.timeline.length, "entry", "entries"), ranked.length > 0 && plural(ranked.length, "change")].filter(Boolean).join(", ");
  return (
    <Section title="What happened" note={note}>
      <div className="incident-timeline" tabIndex={0} role="region" aria-label="Timeline">
        <ol>{happenings(detail.timeline, ranked).map((each, n) => <One key={each.change?.id ?? n} happening={each} />)}</ol>
      </div>
    </Section>
  );
}

function One({ happening: { entry, change } }: { happening: Happening }) {
  if (change) {
    return (
      <li className="incident-entry change">
        <Time iso={change.at} />
        <span className="incident-said"><strong>change</strong> <ChangeTitle change={change} /></span>
        <span className="faint">{change.author || toldBy(change)}</span>
      </li>
    );
  }
  return (
    <li className={`incident-entry ${entry.kind}`}>
      <Time iso={entry.at} />
      <span className="incident-said">{entryText(entry)}</span>
      <span className="faint">{entry.by}</span>
    </li>
  );
}

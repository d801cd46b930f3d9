// What changed between two moments, by class. Legend, counts and filter in one; every element can be opened.
import { useMemo, useState } from "react";

import { diffPath, isLoggedOut } from "../../api/client";
import { useSetUrl, useUrl } from "../../frame/scope";
import { oneSite } from "../../frame/search";
import { ElementLink, Failure, Time, Waiting } from "../../parts/basics";
import { attributeText, count, plural } from "../../parts/format";
import type { Change } from "../../parts/graph/model";
import { PickList } from "../../parts/pick";
import { CHANGE_LOOKS, CHANGES, type ChangedElement, type Comparison } from "./changes";
import { Same, Side } from "./Side";

export function ChangesSide({ comparison, error, again, busy }: { comparison: Comparison | undefined; error: unknown; again: () => void; busy: boolean }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const site = oneSite(url.site);
  return (
    <Side title="What changed" onClose={() => setUrl({ diff: undefined })} busy={busy}>
      {Boolean(error) && !isLoggedOut(error) && <Failure error={error} again={again} />}
      {!comparison && !error && <Waiting rows={8} />}
      {comparison && <Lists comparison={comparison} />}
      {url.diff && (
        <div className="side-foot">
          <Same path={diffPath(url.diff, url.at, site)} cli={`holm diff ${url.diff}${url.at ? ` ${url.at}` : ""}${site ? ` --of-site ${site}` : ""}`} />
        </div>
      )}
    </Side>
  );
}

function Lists({ comparison }: { comparison: Comparison }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const [only, setOnly] = useState<Change | null>(null);
  const items = useMemo(() => comparison.items.filter((each) => only === null || each.change === only), [comparison, only]);
  const total = CHANGES.reduce((sum, change) => sum + (only === null || only === change ? comparison.totals[change] : 0), 0);
  return (
    <>
      <p className="faint side-note">From <Time iso={comparison.from} /> until {url.at ? <Time iso={comparison.to} /> : "now"}.</p>
      <div className="classes" role="group" aria-label="Kinds of change">
        {CHANGES.map((change) => {
          const look = CHANGE_LOOKS[change];
          return (
            <button key={change} type="button" className="class" aria-pressed={only === change} disabled={comparison.totals[change] === 0} title={look.means} onClick={() => setOnly(only === change ? null : change)}>
              <ChangeMark change={change} /> <span className="grow">{look.word}</span> <strong>{count(comparison.totals[change])}</strong>
            </button>
          );
        })}
      </div>
      {total === 0 && <p className="side-note">{comparison.unknown.total > 0 ? "Nothing is known to have changed between these moments." : "Nothing changed between these moments."}</p>}
      {comparison.unknown.total > 0 && <Unknown unknown={comparison.unknown} />}
      {items.length < total && <p className="faint side-note">Showing {count(items.length)} of {count(total)}.</p>}
      <PickList
        label="Changed elements"
        items={items}
        itemKey={(item) => `${item.change} ${item.id}`}
        rowPx={items.some((item) => item.attributes.length > 0) ? 48 : 32}
        chosen={(item) => item.id === url.el}
        onPick={(item) => setUrl({ el: item.id })}
        show={(item) => <Row item={item} />}
      />
    </>
  );
}

/** Most of them that are listed. */
const UNKNOWN_MOST = 50;

function Unknown({ unknown: { items, total } }: { unknown: Comparison["unknown"] }) {
  return (
    <details className="side-note">
      <summary>Of {plural(total, "more element")} it is not known whether attributes changed: those of one of the moments were forgotten.</summary>
      <ul>
        {items.slice(0, UNKNOWN_MOST).map((item) => (
          <li key={item.id}><ElementLink id={item.id} /> <span className="faint">{item.keys.length > 0 ? item.keys.join(", ") : "all attributes"}, known from <Time iso={item.known_from} /></span></li>
        ))}
      </ul>
      {total > UNKNOWN_MOST && <p className="faint">and {count(total - Math.min(UNKNOWN_MOST, items.length))} more; the API has them.</p>}
    </details>
  );
}

function Row({ item }: { item: ChangedElement }) {
  const [first] = item.attributes;
  return (
    <>
      <ChangeMark change={item.change} />
      <span className="what">
        <span className="mono name" title={item.id}>{item.id}</span>
        {first && (
          <span className="faint name" title={item.attributes.map(told).join("\n")}>
            {told(first)}{item.attributes.length > 1 && `, and ${item.attributes.length - 1} more`}
          </span>
        )}
      </span>
    </>
  );
}

function told({ key, before, after }: ChangedElement["attributes"][number]): string {
  return `${key}: ${attributeText(before) ?? "none"} → ${attributeText(after) ?? "none"}`;
}

/** As the picture draws it: solid, dashed outline, hatched, dark; with the sign that discs use. */
export function ChangeMark({ change }: { change: Change }) {
  const look = CHANGE_LOOKS[change];
  return <span className={`change-mark tone-${look.tone} is-${change}`} role="img" aria-label={look.word}>{look.sign}</span>;
}

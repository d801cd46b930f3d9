// Who reaches whom: rows say, columns are spoken of.
import { memo, useMemo } from "react";

import { useSetUrl } from "../../frame/scope";
import { Nothing } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { MATRIX_MOST, matrixOf, type Reach, type Says } from "./reach";

/** A sign, a word and a tone each. */
const LOOKS: Record<Says, { sign: string; word: string; means: string }> = {
  yes: { sign: "●", word: "yes", means: "reaches it" },
  no: { sign: "✕", word: "no", means: "tried it in vain" },
  not_tried: { sign: "–", word: "not tried", means: "did not try; that says nothing" },
  none: { sign: "?", word: "no view", means: "no view of it came lately" },
};
const ALL: readonly Says[] = ["yes", "no", "not_tried", "none"];
/** Up to here words stand in the cells. */
const WORDS_MOST = 8;

export function ReachMatrix({ reach, within }: { reach: Reach; within: (site: string) => boolean }) {
  const setUrl = useSetUrl();
  const { rows, columns, troubleOnly, leftOut } = useMemo(() => matrixOf(reach, within), [reach, within]);
  const known = reach.sites.filter(within).length;
  if (known < 2) return <Nothing title="One site only">A matrix needs a second site: make a token with <code>holm token create --site S</code>.</Nothing>;
  if (troubleOnly && rows.length === 0) return <p>With {plural(known, "site")} only rows and columns with trouble are shown, and there are none: nobody who said lately what they see ({plural(reach.viewed.size, "site")}) tried anyone in vain.</p>;
  const words = columns.length <= WORDS_MOST;
  return (
    <>
      {troubleOnly && (
        <p className="dim">
          {plural(known, "site")}, more than {MATRIX_MOST}: only who tries in vain (rows) and who is not reached (columns).
          {leftOut.rows + leftOut.columns > 0 && ` Left out: ${plural(leftOut.rows, "row")} and ${plural(leftOut.columns, "column")} with less trouble.`}
        </p>
      )}
      <div className="reach-scroll" tabIndex={0} role="region" aria-label="Who reaches whom">
        <table className={words ? "reach worded" : "reach"}>
          <thead>
            <tr><th scope="col"><span className="faint">says ↓ of →</span></th>{columns.map((of) => <th scope="col" key={of} title={of}><button type="button" className={words ? "link-button" : "link-button turned"} onClick={() => setUrl({ focus: of }, true)}>{of}</button></th>)}</tr>
          </thead>
          <tbody>{rows.map((by) => <Row key={by} by={by} columns={columns.join(" ")} said={columns.map((of) => (by === of ? "self" : reach.says(by, of))).join(" ")} words={words} viewed={reach.viewed.has(by)} />)}</tbody>
        </table>
      </div>
      {!words && <p className="reach-legend">{ALL.map((says) => <span key={says}><span className={`says ${says}`} aria-hidden="true">{LOOKS[says].sign}</span> {LOOKS[says].word}</span>)}</p>}
      <p className="faint">{count(reach.viewed.size)} of {plural(reach.sites.length, "site")} said lately what they see. “Not tried” and “no view” say nothing of the way.</p>
    </>
  );
}

/** A row is drawn again only when what it says changed. */
const Row = memo(function Row({ by, columns, said, words, viewed }: { by: string; columns: string; said: string; words: boolean; viewed: boolean }) {
  const names = columns.split(" ");
  return (
    <tr>
      <th scope="row">{by}{!viewed && <span className="faint"> (no view)</span>}</th>
      {said.split(" ").map((says, n) => {
        if (says === "self") return <td key={names[n]} className="says self"><span className="sr">itself</span></td>;
        const look = LOOKS[says as Says];
        return (
          <td key={names[n]} className={`says ${says}`} title={`${by} ${look.means}: ${names[n] ?? ""}`}>
            <span aria-hidden="true">{look.sign}</span>{words ? ` ${look.word}` : <span className="sr">{look.word}</span>}
          </td>
        );
      })}
    </tr>
  );
});

// Two failures side by side: what only the one breaks, what both do. Every number leads to its rows.
import { useState } from "react";

import { isLoggedOut, sideBySideBody } from "../../api/client";
import { useSideBySide } from "../../api/queries";
import type { SideBySide } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, ElementLink, Failure, Waiting } from "../../parts/basics";
import { count } from "../../parts/format";
import { PickList } from "../../parts/pick";
import { Freshness, Notes, Same, Side } from "./Side";

type List = "broken_paths" | "rerouted_paths" | "stranded_paths" | "stranded_services" | "stranded_prefixes" | "impacted_services" | "impacted_prefixes" | "disconnected" | "impacted_slos";
type Part = "only_left" | "both" | "only_right";
const LISTS: readonly [List, string][] = [
  ["broken_paths", "Paths that break"], ["rerouted_paths", "Go another way"], ["stranded_paths", "Keep a drained way"], ["stranded_services", "Go on calling it"], ["stranded_prefixes", "No other way to"], ["impacted_services", "Services that need it"], ["impacted_prefixes", "Prefixes behind"], ["disconnected", "Cut off"], ["impacted_slos", "SLOs touched"],
];
const PARTS: readonly [Part, string][] = [["only_left", "only A"], ["both", "both"], ["only_right", "only B"]];

export function SideBySideSide() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const { fail: left, fail2: right } = url;
  const answer = useSideBySide(left, right, url.at);
  if (left === undefined || right === undefined) return null;
  return (
    <Side title="Two failures" onClose={() => setUrl({ fail2: undefined })} busy={answer.isFetching}>
      <dl className="sides">
        <div><dt>A</dt><dd><ElementLink id={left} /></dd></div>
        <div><dt>B</dt><dd><ElementLink id={right} /></dd></div>
      </dl>
      {answer.error && !isLoggedOut(answer.error) && <Failure error={answer.error} again={() => void answer.refetch()} />}
      {answer.isPending && <Waiting rows={6} />}
      {answer.data && <Lists answer={answer.data} />}
      <div className="side-foot">
        <Button onClick={() => setUrl({ fail: right, fail2: left })}>Exchange A and B</Button>
        {answer.data && <Notes notes={[...new Set([...answer.data.left.coverage.notes, ...answer.data.right.coverage.notes])]} />}
        {answer.data && <Freshness freshness={answer.data.left.freshness} />}
        <Same path="/v1/topology/whatif/compare" body={sideBySideBody(left, right, url.at)} cli={`holm whatif '${left}' --compare-with '${right}'${url.at ? ` --at ${url.at}` : ""}`} />
      </div>
    </Side>
  );
}

function Lists({ answer }: { answer: SideBySide }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const [chosen, setChosen] = useState<[List, Part] | null>(null);
  // What stays is of drains alone; the room is for what is listed below.
  const lists = LISTS.filter(([of]) => !of.startsWith("stranded_") || PARTS.some(([side]) => answer[of].totals[side] > 0));
  const cells = lists.flatMap(([list]) => PARTS.map(([part]): [List, Part] => [list, part]));
  // Until a number is chosen: the first that is not zero.
  const [list, part] = chosen ?? cells.find(([of, side]) => answer[of].totals[side] > 0) ?? ["broken_paths", "both"];
  const rows = answer[list][part].map((each) => (typeof each === "string" ? { id: each, name: each } : { id: each.to, name: `${each.from} → ${each.to}` }));
  return (
    <>
      {!answer.complete && <p className="faint side-note">A list was too long to be compared whole: what is in one of them only may be in both.</p>}
      <table className="plain sides-table">
        <thead><tr><th><span className="sr">What</span></th>{PARTS.map(([id, name]) => <th key={id} className="num" scope="col">{name}</th>)}</tr></thead>
        <tbody>
          {lists.map(([of, name]) => (
            <tr key={of}>
              <th scope="row">{name}</th>
              {PARTS.map(([side, where]) => {
                const n = answer[of].totals[side];
                return (
                  <td key={side} className="num">
                    {n === 0 ? <span className="faint">0</span> : <button type="button" className="number" aria-pressed={of === list && side === part} aria-label={`${name}, ${where}: ${count(n)}`} onClick={() => setChosen([of, side])}>{count(n)}</button>}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length < answer[list].totals[part] && <p className="faint side-note">showing {count(rows.length)} of {count(answer[list].totals[part])}</p>}
      {rows.length === 0 && <p className="side-note">Neither breaks anything that was observed.</p>}
      <PickList
        label={`${LISTS.find(([of]) => of === list)?.[1] ?? ""}, ${PARTS.find(([side]) => side === part)?.[1] ?? ""}`}
        items={rows}
        itemKey={(row) => row.name}
        rowPx={32}
        chosen={(row) => row.id === url.el}
        onPick={(row) => { if (list !== "impacted_slos") setUrl({ el: row.id }); }}
        show={(row) => <span className="what"><span className="mono name" title={row.name}>{row.name}</span></span>}
      />
    </>
  );
}

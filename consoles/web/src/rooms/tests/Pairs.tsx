// What every site measures to every other: a coloured grid that is a table, with all numbers of a pair on hover.
import { useMemo, useState } from "react";

import { isLoggedOut } from "../../api/client";
import { useMatrix } from "../../api/queries";
import type { PairMatrix } from "../../api/types";
import { inScope, useUrl } from "../../frame/scope";
import { Age, Failure, Nothing, SameBy, Section, Waiting } from "../../parts/basics";
import { plural } from "../../parts/format";
import { cellsOf, PAIR_LOOKS, PAIR_SHOWS, pairAll, pairSites, pairText, type PairShow } from "./policies";

export function Pairs() {
  const matrix = useMatrix();
  const [show, setShow] = useState<PairShow>("rtt");
  return (
    <Section
      title="Every site to every other" note={matrix.data && <>as of <Age iso={matrix.data.as_of} />; rows probe columns</>}
      actions={<label>show <select className="alert-ask" value={show} onChange={(event) => setShow(event.target.value as PairShow)}>{(Object.keys(PAIR_SHOWS) as PairShow[]).map((each) => <option key={each} value={each}>{PAIR_SHOWS[each]}</option>)}</select></label>}
    >
      {matrix.error && !isLoggedOut(matrix.error) && <Failure error={matrix.error} again={() => void matrix.refetch()} />}
      {matrix.isPending && <Waiting rows={4} />}
      {matrix.data && <Grid matrix={matrix.data} show={show} />}
      <SameBy path="/v1/mesh/matrix" cli="holm mesh matrix" />
    </Section>
  );
}

function Grid({ matrix, show }: { matrix: PairMatrix; show: PairShow }) {
  const url = useUrl();
  const { sites, troubleOnly } = useMemo(() => pairSites(matrix, inScope(url)), [matrix, url]);
  const cell = useMemo(() => cellsOf(matrix), [matrix]);
  if (matrix.sites.length < 2) return <Nothing title="One site only">A matrix needs a second site: make a token with `holm token create --site S`.</Nothing>;
  return (
    <>
      {troubleOnly && <p className="dim">{plural(matrix.sites.length, "site")}: only those with trouble are drawn{sites.length === 0 && ", and there are none"}. `holm mesh matrix` has all.</p>}
      <div className="matrix-scroll" tabIndex={0} role="region" aria-label="What every site measures to every other">
        <table className="matrix pairs">
          <caption className="sr">From the site of a row to the site of a column: {PAIR_SHOWS[show]}</caption>
          <thead><tr><th scope="col"><span className="sr">From</span></th>{sites.map((site) => <th scope="col" key={site}>{site}</th>)}</tr></thead>
          <tbody>
            {sites.map((from) => (
              <tr key={from}>
                <th scope="row">{from}</th>
                {sites.map((to) => {
                  if (from === to) return <td key={to}><span className="self" aria-label="itself" role="img" /></td>;
                  const found = cell(from, to);
                  const look = PAIR_LOOKS[found?.state ?? "not_measured"];
                  return <td key={to}><span className={`field tone-${look.tone}-soft`} title={pairAll(from, to, found)}><span aria-hidden="true">{look.sign}</span><span className="sr">{look.word}</span> {pairText(found, show)}</span></td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {matrix.unheard.map((site) => <p key={site.site} className="faint">{site.site}: not measured; {site.reason}</p>)}
    </>
  );
}

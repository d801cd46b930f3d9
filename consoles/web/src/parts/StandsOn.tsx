// In what an answer of many sites is less than it looks, and how each of them did: shown above the answer.
import type { ReactNode } from "react";

import type { Approximation, AskedSite } from "../api/types";
import { Button } from "./basics";
import { count, millis, plural } from "./format";
import { StateMark } from "./icons";
import { bytesText } from "../rooms/mesh/rates";
import { missing, missingText, outcome, worstFirst } from "./standing";

interface Props {
  answer: {
    sites: readonly AskedSite[];
    approximations: readonly Approximation[];
    /** In words, that there is more than is shown. */
    cut?: string | undefined;
  };
  onSites?: (() => void) | undefined;
  onLonger?: (() => void) | undefined;
  onAgain: () => void;
  /** Said behind the sites, as of which time. */
  note?: ReactNode;
}

/** In what the answer is less than it looks, and how each site did: above the rows, not behind them. */
export function StandsOn({ answer, onSites, onLonger, onAgain, note }: Props) {
  const gone = missing(answer.sites);
  const sites = worstFirst(answer.sites);
  const most = Math.max(6, Math.min(gone.length, 12));
  return (
    <div className="stands-on">
      {gone.length > 0 && (
        <p className="notice tone-warn-soft" role="alert">
          <StateMark mark="triangle" tone="warn" />
          <span className="grow"><strong>Not complete:</strong> {missingText(answer.sites)}. None of {gone.length === 1 ? "its" : "their"} rows are in sums, counts or rows below.</span>
          {onLonger && gone.some((site) => site.state === "late") ? <Button onClick={onLonger}>Allow 50 s</Button> : <Button onClick={onAgain}>Ask again</Button>}
        </p>
      )}
      {answer.approximations.map((each) => (
        <p className="notice quiet" role="note" key={each.method + each.text}>
          <span className="sign" aria-hidden="true">≈</span>
          <span><strong>Not exact:</strong> {each.text}{each.at_most !== null && <>; a value may be too small by {count(each.at_most)} at most</>} <span className="faint">({each.method})</span></span>
        </p>
      ))}
      {answer.cut !== undefined && (
        <p className="notice quiet" role="note">
          <span className="sign" aria-hidden="true">…</span>
          <span><strong>Cut:</strong> {answer.cut}</span>
        </p>
      )}
      {(sites.length > 0 || note) && (
        <ul className="asked-sites" aria-label="How each site did">
          {sites.slice(0, most).map((site) => {
            const look = outcome(site);
            return (
              <li key={`${site.site}/${site.node}`} title={`${site.site}/${site.node}: ${look.means}${site.error ? ` (${site.error})` : ""}; ${plural(site.rows, "row")}, ${bytesText(site.bytes)} in ${millis(site.took_ms)}`}>
                <StateMark mark={look.mark} tone={look.tone} />
                <span>{site.site}</span>
                <span className="faint">{site.state === "answered" ? `${plural(site.rows, "row")} · ${bytesText(site.bytes)} · ${millis(site.took_ms)}` : look.word}</span>
              </li>
            );
          })}
          {sites.length > most && <li>{onSites ? <button type="button" className="link" onClick={onSites}>{sites.length - most} more</button> : <span className="faint">and {sites.length - most} more</span>}</li>}
          {note && <li className="note faint">{note}</li>}
        </ul>
      )}
    </div>
  );
}

// What lies open beside the picture: a list, what it rests on, and how to close it.
import type { ReactNode } from "react";

import type { Freshness as SiteFreshness } from "../../api/types";
import { Age, Button, SameBy, State } from "../../parts/basics";
import { SITE_LOOKS } from "../../parts/states";
import "./side.css";

export function Side({ title, onClose, busy, children }: { title: string; onClose: () => void; busy?: boolean; children: ReactNode }) {
  return (
    <aside className="side" aria-label={title} aria-busy={busy}>
      <header>
        <h2>{title}</h2>
        <Button icon="close" label={`Close: ${title}`} shortcut="Esc" onClick={onClose} />
      </header>
      {children}
    </aside>
  );
}

/** What the answer does not know. */
export function Notes({ notes }: { notes: readonly string[] }) {
  if (notes.length === 0) return null;
  return (
    <details>
      <summary className="faint">What this does not know ({notes.length})</summary>
      <ul>{notes.map((note) => <li key={note} className="faint">{note}</li>)}</ul>
    </details>
  );
}

/** How fresh each site's part of the answer is; only sites that are behind are named in the summary. */
export function Freshness({ freshness }: { freshness: SiteFreshness }) {
  const behind = freshness.sites.filter((site) => SITE_LOOKS[site.state].tone !== "ok");
  return (
    <details>
      <summary className="faint">{behind.length === 0 ? `All ${freshness.sites.length} sites are current` : `${behind.length} of ${freshness.sites.length} sites are behind: ${behind.map((site) => site.site).join(", ")}`}</summary>
      <ul className="fresh">
        {freshness.sites.map((site) => (
          <li key={site.site}><State look={SITE_LOOKS[site.state]} quiet /> <span>{site.site}</span> <span className="faint"><Age iso={site.as_of} /></span></li>
        ))}
      </ul>
    </details>
  );
}

/** The same answer outside the console, folded away: the list needs the room. */
export function Same(props: { path: string; cli: string; body?: unknown }) {
  return (
    <details>
      <summary className="faint">The same by API and CLI</summary>
      <SameBy {...props} />
    </details>
  );
}

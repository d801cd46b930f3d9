// What breaks if the open element fails: paths, services, prefixes, what is cut off. Asking changes nothing.
import { Link } from "@tanstack/react-router";
import { Children, useState, type ReactNode } from "react";

import { ApiError, isLoggedOut, nodeNow, whatIfBody } from "../api/client";
import { useWhatIf } from "../api/queries";
import type { Impact } from "../api/types";
import { Button, ElementLink, Failure, SameBy, Waiting } from "../parts/basics";
import { count, moment, plural } from "../parts/format";
import { useSetUrl, useUrl } from "./scope";

export function WhatIf({ id }: { id: string }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const asked = url.fail === id;
  return (
    <section className="whatif" aria-label="If this fails">
      <h3>
        If this fails
        <Button onClick={() => setUrl({ fail: asked ? undefined : id, fail2: undefined })} pressed={asked}>{asked ? "Hide" : "What breaks?"}</Button>
      </h3>
      {url.fail !== undefined && !asked && url.fail2 !== id && (
        <p className="faint">Shown now: <span className="mono">{url.fail}</span>. <Button onClick={() => setUrl({ fail2: id })}>Compare with it</Button></p>
      )}
      {asked && url.fail2 === undefined && <Another key={id} />}
      {asked && <Answer id={id} at={url.at} />}
    </section>
  );
}

/** The way to set another failure beside this one: by name here, or from that element's own panel. */
function Another() {
  const setUrl = useSetUrl();
  const [text, setText] = useState("");
  return (
    <form
      className="another"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) setUrl({ fail2: text.trim() });
      }}
    >
      <input aria-label="Compare with another failure" placeholder="another, as host:192.0.2.7 or site:tokyo" value={text} onChange={(event) => setText(event.target.value)} spellCheck={false} />
      <button type="submit" className="button" disabled={text.trim() === ""}>Compare</button>
    </form>
  );
}

function Answer({ id, at }: { id: string; at: string | undefined }) {
  const impact = useWhatIf(id, at);
  if (impact.error && !isLoggedOut(impact.error)) {
    const gone = impact.error instanceof ApiError && impact.error.status === 404;
    return gone ? <p className="faint">It is not in the topology at that time, so nothing hangs on it.</p> : <Failure error={impact.error} again={() => void impact.refetch()} />;
  }
  if (!impact.data) return <Waiting rows={4} />;
  return <Lists impact={impact.data} id={id} at={at} />;
}

function Lists({ impact, id, at }: { impact: Impact; id: string; at: string | undefined }) {
  const { totals } = impact;
  const nothing = totals.broken_paths + totals.rerouted_paths + totals.impacted_services + totals.impacted_prefixes + totals.disconnected + totals.impacted_slos === 0;
  return (
    <div className="impact">
      {totals.failed > 1 && <p className="faint">{plural(totals.failed, "element")} belong to it and fail with it.</p>}
      {nothing && <p>Nothing that was observed hangs on it.</p>}
      <Group title="Paths that break" total={totals.broken_paths}>
        {impact.broken_paths.map((path) => (
          <li key={`${path.from} ${path.to}`}><Ends from={path.from} to={path.to} /><Way label={path.status} route={path.route} /></li>
        ))}
      </Group>
      <Group title="Paths that go another way" total={totals.rerouted_paths}>
        {impact.rerouted_paths.map((path) => (
          <li key={`${path.from} ${path.to}`}>
            <Ends from={path.from} to={path.to} />
            <Way label={wayText(path)} route={path.alt_route} />
          </li>
        ))}
      </Group>
      <Group title="Services that need it" total={totals.impacted_services}>
        {impact.impacted_services.map((each) => (
          <li key={each.id} className="row"><ElementLink id={each.id} /><span className="faint">{each.distance === 1 ? "directly" : `${each.distance} steps away`}</span></li>
        ))}
      </Group>
      <Group title="Prefixes behind it" total={totals.impacted_prefixes}>
        {impact.impacted_prefixes.map((each) => <li key={each.id} className="row"><ElementLink id={each.id} /><span className="faint">{each.loss}</span></li>)}
      </Group>
      <Group title="Cut off" total={totals.disconnected}>
        {impact.disconnected.map((each) => <li key={each}><ElementLink id={each} /></li>)}
      </Group>
      <Group title="SLOs that it touches" total={totals.impacted_slos}>
        {(impact.impacted_slos ?? []).map((name) => <li key={name}><Link to="/slos" search={(search) => ({ ...search, slo: name })} className="link mono">{name}</Link></li>)}
      </Group>
      {impact.coverage.notes.length > 0 && (
        <details>
          <summary className="faint">What this does not know ({impact.coverage.notes.length})</summary>
          <ul>{impact.coverage.notes.map((note) => <li key={note} className="faint">{note}</li>)}</ul>
        </details>
      )}
      <SameBy path="/v1/topology/whatif" body={whatIfBody(id, at)} cli={`holm whatif '${id}'${at ? ` --at ${at}` : ""}`} />
    </div>
  );
}

/** Rows that are shown at first, and more at each word. */
const MORE = 100;

/** What is listed, some at a time: the picture shows all of it. */
function Group({ title, total, children }: { title: string; total: number; children: ReactNode }) {
  const [most, setMost] = useState(MORE);
  if (total === 0) return null;
  const rows = Children.toArray(children);
  const listed = Math.min(rows.length, most);
  return (
    <>
      <h4>{title} <span className="faint">{listed < total ? `showing ${count(listed)} of ${count(total)}` : count(total)}</span></h4>
      <ul>{rows.slice(0, most)}</ul>
      {listed < rows.length && <Button onClick={() => setMost(most + MORE)}>Show {count(Math.min(MORE, rows.length - listed))} more</Button>}
    </>
  );
}

function Ends({ from, to }: { from: string; to: string }) {
  return <span className="row"><ElementLink id={from} /><span className="faint" aria-hidden="true">→</span><ElementLink id={to} /></span>;
}

/** What the other way stands on, and how many flows have to take it. */
function wayText({ status, last_taken: until, flows, flows_affected: affected }: Impact["rerouted_paths"][number]): string {
  const taken = until === null ? "" : `, taken until ${moment(until, nodeNow())}`;
  return `${status}${taken}${flows === null ? "" : `, ${affected ?? 0} of ${flows} flows`}`;
}

/** The hops between the ends; a hop that did not answer is a star. */
function Way({ label, route }: { label: string; route: readonly (string | null)[] }) {
  const between = route.slice(1, -1);
  return <span className="faint way">{label}{between.length > 0 && <>: via <span className="mono">{between.map((hop) => hop ?? "*").join(" → ")}</span></>}</span>;
}

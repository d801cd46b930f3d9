// Ask: one question in SQL to the rows of every site. The question, its sites and its time are in the URL; a link asks it again.
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { ApiError, isLoggedOut, nodeNow, queryBody } from "../../api/client";
import { useAsked, useMe, useQueryTables, useSites } from "../../api/queries";
import type { QueryTable } from "../../api/types";
import { isTyping, useKeys } from "../../frame/keys";
import { useSetUrl, useUrl } from "../../frame/scope";
import { split, toggle } from "../../frame/search";
import { Button, Copy, Failure, Kbd, Nothing, SameBy, Section, shellWord, Waiting } from "../../parts/basics";
import { count, millis, NOT_MEASURED, plural, span } from "../../parts/format";
import { Icon, StateMark } from "../../parts/icons";
import { SITE_LOOKS } from "../../parts/states";
import { Answer } from "./Answer";
import { Browser } from "./Browser";
import { Editor, type EditorHandle } from "./Editor";
import { load, remember, save, type Past } from "./past";
import { StoreState } from "./StoreState";
import { bytesOf, LONGEST_SQL_BYTES, trouble, type Trouble } from "./sql";
import "./ask.css";

/** What the node gives a question that names no time, and the most that it gives, in ms. */
const [USUAL_MS, MOST_MS] = [20_000, 50_000];
const WAITS_MS = [1_000, 5_000, USUAL_MS, MOST_MS] as const;
const NO_TABLES: readonly QueryTable[] = [];

/** The text that was not asked yet stays while the reader looks into another room. */
const drafts = new Map<string, string>();

export function Ask() {
  const me = useMe();
  return (
    <div className="room full ask">
      <header className="room-head"><h1>Ask</h1><p className="faint">one question in SQL to the rows of every site</p></header>
      <StoreState />
      {me.data ? <Desk key={me.data.tenant} tenant={me.data.tenant} /> : <Waiting rows={8} />}
    </div>
  );
}

function Desk({ tenant }: { tenant: string }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const client = useQueryClient();
  const tables = useQueryTables();
  const known = tables.data?.tables ?? NO_TABLES;
  const sites = useMemo(() => split(url.site), [url.site]);
  const waitMs = url.wait === undefined ? undefined : Number(url.wait);
  const asked = useAsked(url.sql, sites, waitMs);
  const editor = useRef<EditorHandle>(null);
  const [past, setPast] = useState<readonly Past[]>(() => load(tenant));
  const [draft, setDraft] = useState(() => url.sql ?? drafts.get(tenant) ?? "");
  const [seen, setSeen] = useState(url.sql);
  const [view, setView] = useState<"rows" | "sites">("rows");
  const [row, setRow] = useState<number | null>(null);
  // Back, forward and links change the question: the text follows.
  if (seen !== url.sql) {
    setSeen(url.sql);
    setRow(null);
    if (url.sql !== undefined) setDraft(url.sql);
  }

  const write = (text: string) => {
    setDraft(text);
    drafts.set(tenant, text);
  };
  const ask = (sql: string, wait = url.wait) => {
    if (sql.trim() === "" || bytesOf(sql) > LONGEST_SQL_BYTES) return;
    const next = remember(past, sql, nodeNow());
    setPast(next);
    save(tenant, next);
    setRow(null);
    if (sql === url.sql && wait === url.wait) void asked.refetch();
    else setUrl({ sql, wait });
  };
  const put = (sql: string) => {
    editor.current?.replaceAll(sql);
    ask(sql);
  };
  const stop = () => void client.cancelQueries({ queryKey: ["asked"] });
  useKeys({
    e: () => editor.current?.focus(),
    v: () => setView(view === "rows" ? "sites" : "rows"),
    Escape: () => (asked.isFetching ? stop() : setRow(null)),
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || isTyping(event.target)) return;
      event.preventDefault();
      ask(draft);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  });

  const error = asked.error && !isLoggedOut(asked.error) && !asked.isFetching ? asked.error : null;
  const wrong = useMemo(() => (error instanceof ApiError && error.code === "bad_request" ? trouble(error.message, url.sql ?? "", known) : null), [error, url.sql, known]);
  // The place of an error is one in the text that was asked; once that is changed it is no more.
  const mark = wrong?.from != null && draft === url.sql ? { from: wrong.from, to: wrong.to ?? wrong.from } : null;
  const tooLong = bytesOf(draft) > LONGEST_SQL_BYTES;
  const longer = (waitMs ?? USUAL_MS) < MOST_MS && url.sql !== undefined ? () => ask(url.sql ?? "", String(MOST_MS)) : undefined;
  const shownSql = (url.sql ?? draft) || "SELECT …";
  return (
    <>
      <div className="ask-desk">
        <Browser past={past} onForget={() => { setPast([]); save(tenant, []); }} onName={(name) => editor.current?.insert(name)} onQuestion={put} />
        <div className="ask-main">
          <section className="section flush ask-question" aria-label="Question">
            <Editor ref={editor} value={draft} onChange={write} onAsk={() => ask(draft)} onLeave={() => (asked.isFetching ? stop() : (document.activeElement as HTMLElement | null)?.blur())} error={mark} tables={known} />
            <footer>
              <SitesToAsk chosen={sites} onToggle={(site) => setUrl({ site: toggle(url.site, site) })} onAll={() => setUrl({ site: undefined })} />
              <label className="ask-wait">
                <span className="faint">at most</span>
                <select aria-label="Longest time of an answer" value={waitMs ?? USUAL_MS} onChange={(event) => setUrl({ wait: Number(event.target.value) === USUAL_MS ? undefined : event.target.value }, true)}>
                  {[...new Set([...WAITS_MS, waitMs ?? USUAL_MS])].sort((a, b) => a - b).map((ms) => <option key={ms} value={ms}>{ms < 1000 ? `${ms} ms` : span(ms)}</option>)}
                </select>
              </label>
              {tooLong && <span className="tone-bad ask-long"><StateMark mark="square" tone="bad" /> {count(bytesOf(draft))} bytes; a question has {count(LONGEST_SQL_BYTES)} at most</span>}
              <span className="grow" />
              {draft !== (url.sql ?? draft) && !tooLong && <span className="faint ask-changed">changed, not asked yet</span>}
              {asked.isFetching
                ? <button type="button" className="button ask-go" onClick={stop}><Icon name="stop" /> Stop <Kbd>Esc</Kbd></button>
                : <button type="button" className="button ask-go solid" disabled={draft.trim() === "" || tooLong} onClick={() => ask(draft)}><Icon name="play" /> Ask <Kbd>Ctrl Enter</Kbd></button>}
            </footer>
          </section>
          {asked.isFetching && <Asking mostMs={waitMs ?? USUAL_MS} since={asked.data ? "again" : "first"} />}
          {error && <Refused error={error} wrong={wrong} onAgain={() => ask(url.sql ?? "")} onLonger={longer} onGo={mark ? () => editor.current?.focus(mark.from, mark.to) : undefined} onInstead={mark ? (name) => editor.current?.replace(mark.from, mark.to, name) : undefined} />}
          {asked.data && (
            <Answer key={asked.data.askedMs} answer={asked.data.answer} askedMs={asked.data.askedMs} sql={url.sql ?? ""} view={view} onView={setView} row={row} onRow={setRow} onLonger={longer} onAgain={() => ask(url.sql ?? "")} />
          )}
          {!asked.data && !asked.isFetching && !error && (url.sql === undefined ? <Begin onQuestion={put} /> : <Section title="Answer"><Nothing title="Stopped">No site works on this question any more. <kbd>Ctrl Enter</kbd> asks it again.</Nothing></Section>)}
        </div>
      </div>
      <SameBy path="/v1/query" body={queryBody(shownSql, sites, waitMs)} cli={["holm query", ...sites.map((site) => `--site ${site}`), waitMs === undefined ? "" : `--timeout-ms ${waitMs}`, shellWord(shownSql)].filter(Boolean).join(" ")} />
    </>
  );
}

/** The sites that are asked: the scope of the page. */
function SitesToAsk({ chosen, onToggle, onAll }: { chosen: readonly string[]; onToggle: (site: string) => void; onAll: () => void }) {
  const sites = useSites();
  const items = sites.data?.items ?? [];
  // More than a handful are chosen in the scope menu of the bar, which lists them all.
  if (items.length > 8) return <span className="faint">{chosen.length === 0 ? `all ${items.length} sites` : plural(chosen.length, "site")} · the scope above says which</span>;
  return (
    <div className="ask-scope" role="group" aria-label="Sites that are asked">
      <button type="button" className="filter" aria-pressed={chosen.length === 0} onClick={onAll}>all sites</button>
      {items.map((site) => (
        <button key={site.site} type="button" className="filter" aria-pressed={chosen.includes(site.site)} title={`${site.site}: ${SITE_LOOKS[site.state].means}`} onClick={() => onToggle(site.site)}>
          <StateMark mark={SITE_LOOKS[site.state].mark} tone={SITE_LOOKS[site.state].tone} /> {site.site}
        </button>
      ))}
    </div>
  );
}

/** How long it is asked already, and how long it may be. */
function Asking({ mostMs, since }: { mostMs: number; since: "first" | "again" }) {
  const [ms, setMs] = useState(0);
  useEffect(() => {
    const started = performance.now();
    const timer = setInterval(() => setMs(performance.now() - started), 100);
    return () => clearInterval(timer);
  }, []);
  return (
    <div className="ask-asking" role="status">
      <span className="sr">Asking the sites</span>
      <span aria-hidden="true">{since === "again" ? "Asking again" : "Asking"} · {(ms / 1000).toFixed(1)} s of at most {millis(mostMs).replace(".00", "")}{since === "again" && "; below is the earlier answer"}</span>
      <span className="track" aria-hidden="true"><span style={{ width: `${Math.min(100, (ms / mostMs) * 100)}%` }} /></span>
      {since === "first" && <Waiting rows={6} />}
    </div>
  );
}

interface RefusedProps {
  error: Error;
  wrong: Trouble | null;
  onAgain: () => void;
  onLonger: (() => void) | undefined;
  onGo: (() => void) | undefined;
  onInstead: ((name: string) => void) | undefined;
}

/** What is wrong with the question, where, and what to write in its place; else what went wrong with the asking. */
function Refused({ error, wrong, onAgain, onLonger, onGo, onInstead }: RefusedProps) {
  const api = error instanceof ApiError ? error : null;
  if (!wrong) {
    const late = api?.code === "unavailable" && onLonger;
    return <div className="ask-refused"><Failure error={error} again={onAgain} />{late && <Button onClick={onLonger}>Allow 50 s</Button>}</div>;
  }
  return (
    <div className="failure ask-refused" role="alert">
      <StateMark mark="square" tone="bad" />
      <div>
        <p><strong>{wrong.text}</strong></p>
        {(wrong.place ?? wrong.instead.length > 0) && (
          <p>
            {wrong.place && (onGo ? <button type="button" className="button small" onClick={onGo}>line {wrong.place.line}, column {wrong.place.column}</button> : <span className="faint">it was line {wrong.place.line}, column {wrong.place.column}</span>)}
            {wrong.instead.length > 0 && <> did you mean {wrong.instead.map((name) => <InsteadOf key={name} name={name} onTake={onInstead} />)}?</>}
          </p>
        )}
        {wrong.more && <details><summary>What the node says beyond that</summary><p className="mono" tabIndex={0} role="region" aria-label="What the node says">{wrong.more}</p></details>}
        <p className="faint">{api?.code} · request <span className="mono">{api?.requestId ?? NOT_MEASURED}</span>{api?.requestId && <Copy text={api.requestId} label="Copy the request id" />}</p>
      </div>
    </div>
  );
}

function InsteadOf({ name, onTake }: { name: string; onTake: ((name: string) => void) | undefined }): ReactNode {
  return onTake ? <button type="button" className="button small mono" onClick={() => onTake(name)}>{name}</button> : <code> {name} </code>;
}

/** Before the first question: how to begin. */
function Begin({ onQuestion }: { onQuestion: (sql: string) => void }) {
  const tables = useQueryTables();
  const named = tables.data?.named ?? [];
  return (
    <Section title="Answer">
      <div className="ask-begin">
        <p className="title">Nothing asked yet</p>
        <p className="faint">Write one SELECT above and press <Kbd>Ctrl Enter</Kbd>, take a table at the side, or begin with a known question:</p>
        <ul>
          {named.map((each) => (
            <li key={each.name}><button type="button" className="ask-card" onClick={() => onQuestion(each.sql)}><span>{each.text}</span><span className="faint mono">{each.name}</span></button></li>
          ))}
        </ul>
        <p className="faint">Every site does its part where the rows are; the answer says which sites are in it.</p>
      </div>
    </Section>
  );
}

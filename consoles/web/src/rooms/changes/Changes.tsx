// Changes: what people and machines did, told by webhooks and seen by planes; and where it is told from.
import { useMemo } from "react";

import { isLoggedOut, nodeNow, recordedChangesPath } from "../../api/client";
import { useChangeSources, useRecordedChanges } from "../../api/queries";
import type { ChangeSource, RecordedChange } from "../../api/types";
import { split, toggle } from "../../frame/search";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Age, ElementLink, Failure, SameBy, Section, State, Waiting } from "../../parts/basics";
import { NOT_MEASURED, plural } from "../../parts/format";
import { ExportMenu, Table, type Column } from "../../parts/table";
import { changed, KINDS, refused, showing, toldBy, WINDOWS, windowMs } from "./changes";
import "./changes.css";

const MINUTE_MS = 60_000;

const COLUMNS: readonly Column<RecordedChange>[] = [
  { id: "at", title: "Made", width: "108px", value: (row) => row.at, show: (row) => <Age iso={row.at} /> },
  { id: "kind", title: "Kind", width: "84px", value: (row) => row.kind },
  { id: "title", title: "What", width: "minmax(220px, 3fr)", value: (row) => row.title, show: (row) => <What change={row} /> },
  { id: "targets", title: "Of", width: "minmax(160px, 1.6fr)", value: (row) => [...row.targets, ...row.words].join(", "), show: (row) => <Of change={row} /> },
  { id: "author", title: "By", width: "120px", value: (row) => row.author, show: (row) => row.author ?? <span className="faint" title="nobody is named">{NOT_MEASURED}</span> },
  { id: "source", title: "Told by", width: "minmax(120px, 1fr)", value: (row) => toldBy(row), show: (row) => <span title={`taken by ${row.taken_by.join(", ")}`}>{toldBy(row)}</span> },
];

function What({ change }: { change: RecordedChange }) {
  const more = Object.entries(change.attributes).map(([key, value]) => `${key} ${value}`);
  const title = [change.title, ...more].join("\n");
  return change.url ? <a href={change.url} target="_blank" rel="noreferrer noopener" title={title}>{change.title}</a> : <span title={title}>{change.title}</span>;
}

function Of({ change }: { change: RecordedChange }) {
  const { elements, words } = changed(change);
  if (elements.length === 0 && words.length === 0) return <span className="faint" title="nothing is named">{NOT_MEASURED}</span>;
  return (
    <span>
      {elements.map((id) => <span key={id} className="change-target"><ElementLink id={id} /></span>)}
      {words.length > 0 && <span className="faint" title="nothing that it names was in the topology when it was taken">{words.join(", ")}</span>}
    </span>
  );
}

const SOURCES: readonly Column<ChangeSource>[] = [
  { id: "name", title: "Name", width: "minmax(120px, 1fr)", value: (row) => row.name },
  { id: "state", title: "State", width: "110px", value: (row) => (row.revoked_at ? "revoked" : "live"), show: (row) => (row.revoked_at ? <State look={{ tone: "unknown", mark: "dash", word: "revoked", means: `by ${row.revoked_by ?? "somebody"}` }} /> : <State look={{ tone: "ok", mark: "disk", word: "live", means: "deliveries are taken" }} />) },
  { id: "path", title: "Address", width: "minmax(260px, 2fr)", value: (row) => row.path, show: (row) => <span className="mono">{row.path}</span> },
  { id: "accepted", title: "Accepted", width: "92px", numeric: true, value: (row) => row.here.accepted },
  { id: "known", title: "Again", width: "76px", numeric: true, value: (row) => row.here.known },
  { id: "refused", title: "Refused", width: "84px", numeric: true, value: (row) => refused(row) },
  { id: "last", title: "Last", width: "108px", value: (row) => row.here.last_at, show: (row) => <Age iso={row.here.last_at} /> },
];

export function Changes() {
  const url = useUrl();
  const go = useSetUrl();
  const window = url.window ?? "24h";
  // To the minute, so that the question stays the same while it is answered.
  const nowMs = Math.ceil(nodeNow() / MINUTE_MS) * MINUTE_MS;
  const endMs = url.at ? Date.parse(url.at) : nowMs;
  const fromMs = endMs - windowMs(window);
  const hidden = useMemo(() => split(url.hide), [url.hide]);
  const query = useMemo(() => ({
    from: new Date(fromMs).toISOString(), to: url.at, target: url.q,
    kinds: hidden.length > 0 ? KINDS.map(({ kind }) => kind).filter((kind) => !hidden.includes(kind)) : [],
  }), [fromMs, url.at, url.q, hidden]);
  const none = KINDS.every(({ kind }) => hidden.includes(kind));
  const list = useRecordedChanges(query);
  const sources = useChangeSources();
  return (
    <div className="room">
      <header className="room-head">
        <h1>Changes</h1>
        <div className="change-filters" role="group" aria-label="Which kinds">
          {KINDS.map(({ kind, means }) => (
            <button key={kind} type="button" className="button" title={means} aria-pressed={!hidden.includes(kind)} onClick={() => go({ hide: toggle(url.hide, kind) })}>{kind}</button>
          ))}
        </div>
      </header>
      {list.error && !isLoggedOut(list.error) && <Failure error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Waiting rows={8} />}
      {none && <p className="faint">Every kind is off: choose one above.</p>}
      {list.data && !none && (
        <Section
          title="Changes"
          note={showing(list.data.items.length, list.data.total)}
          actions={<>
            <select className="change-ask" aria-label="How far back" value={window} onChange={(event) => go({ window: event.target.value === "24h" ? undefined : event.target.value })}>
              {WINDOWS.map((each) => <option key={each} value={each}>{each}</option>)}
            </select>
            <input className="change-ask" type="search" aria-label="Only of what has this in its name" placeholder="Only of…" defaultValue={url.q ?? ""} onChange={(event) => go({ q: event.target.value.trim() || undefined })} />
            <ExportMenu what="changes" at={new Date().toISOString()} columns={COLUMNS} rows={list.data.items} />
          </>}
          flush
        >
          <Table label="Changes" columns={COLUMNS} rows={list.data.items} rowKey={(row) => row.id} empty="No change like these is known from this time." />
        </Section>
      )}
      {sources.error && !isLoggedOut(sources.error) && <Failure error={sources.error} again={() => void sources.refetch()} />}
      {sources.data && (
        <Section title="Sources" note={`${plural(sources.data.total, "source")}, as this node counted since it started`} flush>
          <Table label="Sources" columns={SOURCES} rows={sources.data.items} rowKey={(row) => row.id} empty="No webhook tells of changes yet: `holm change source create --name ci --provider github` makes a source." />
          {sources.data.refused_here.unknown > 0 && <p className="faint change-note">{plural(sources.data.refused_here.unknown, "delivery", "deliveries")} to sources that are not there were refused here.</p>}
        </Section>
      )}
      <SameBy path={recordedChangesPath(query)} cli={`holm change list${url.q ? ` --about ${url.q}` : ""}`} />
    </div>
  );
}

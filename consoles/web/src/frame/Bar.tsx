// The top bar: tenant, scope, time, search, freshness.
import { useEffect, useState, useSyncExternalStore } from "react";

import { nodeNow } from "../api/client";
import { useMe, useSites } from "../api/queries";
import { streamState } from "../api/stream";
import { Age, Button, Drop, Kbd, State } from "../parts/basics";
import { listOf, moment, NOT_MEASURED, span } from "../parts/format";
import { Icon, StateMark } from "../parts/icons";
import { SITE_LOOKS } from "../parts/states";
import { useNow } from "./clock";
import { freshnessText } from "./freshness";
import { split, toggle } from "./search";
import { useSetUrl, useUrl } from "./scope";
import { switchTheme, useIsDark } from "./theme";

export function Bar({ onSearch, onKeys }: { onSearch: () => void; onKeys: () => void }) {
  const me = useMe();
  const dark = useIsDark();
  return (
    <header className="bar">
      <div className="brand" title={me.data ? `${me.data.spiffe_id} · holm ${me.data.version}` : "Holm"}>
        <img src="./holm.svg" alt="" width="22" height="22" />
        <span className="tenant">{me.data?.tenant ?? "…"}</span>
      </div>
      <ScopeMenu />
      <TimeMenu />
      <button type="button" className="search-button" onClick={onSearch} aria-label="Search elements, pages, actions">
        <Icon name="search" size={14} />
        <span className="grow">Search</span>
        <Kbd>Ctrl K</Kbd>
      </button>
      <FreshnessChip />
      <span className="wide-only">
        <Button icon="theme" label={dark ? "Light" : "Dark"} shortcut="Shift D" onClick={switchTheme} />
        <Button icon="keys" label="Keys" shortcut="?" onClick={onKeys} />
      </span>
    </header>
  );
}

function ScopeMenu() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const sites = useSites();
  const chosen = split(url.site);
  const items = sites.data?.items ?? [];
  const text = chosen.length === 0 ? "All sites" : chosen.length < 3 ? chosen.join(", ") : `${chosen.length} sites`;
  return (
    <Drop trigger={<><Icon name="scope" /> <span>{text}</span> <Icon name="chevron" size={12} /></>} label={`Scope: ${text}`}>
      <ul className="menu">
        <li>
          <button type="button" role="menuitemradio" aria-checked={chosen.length === 0} onClick={() => setUrl({ site: undefined })}>
            <span className="check">{chosen.length === 0 && <Icon name="check" size={14} />}</span> All sites
          </button>
        </li>
        <li className="rule" />
        {items.map((site) => (
          <li key={site.site}>
            <button type="button" aria-pressed={chosen.includes(site.site)} onClick={() => setUrl({ site: toggle(url.site, site.site) })}>
              <span className="check">{chosen.includes(site.site) && <Icon name="check" size={14} />}</span>
              <span className="grow">{site.site}</span>
              <State look={SITE_LOOKS[site.state]} quiet />
            </button>
          </li>
        ))}
      </ul>
    </Drop>
  );
}

const STEPS: readonly [string, number][] = [
  ["1 minute ago", 60], ["5 minutes ago", 300], ["15 minutes ago", 900], ["1 hour ago", 3600], ["6 hours ago", 21600], ["1 day ago", 86400],
];

function TimeMenu() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const now = useNow();
  const text = url.at ? moment(url.at, now) : "Live";
  return (
    <Drop
      className={url.at ? "past" : ""}
      label={url.at ? `Time: ${text}` : "Time: live"}
      trigger={<><Icon name={url.at ? "clock" : "play"} /> <span>{text}</span> <Icon name="chevron" size={12} /></>}
    >
      <ul className="menu">
        <li><button type="button" onClick={() => setUrl({ at: undefined })}><Icon name="play" size={14} /> Live <span className="grow" /><Kbd>l</Kbd></button></li>
        <li className="rule" />
        {STEPS.map(([name, seconds]) => (
          <li key={name}><button type="button" onClick={() => setUrl({ at: new Date(nodeNow() - seconds * 1000).toISOString() })}>{name}</button></li>
        ))}
        <li className="rule" />
        <li><MomentField key={url.at ?? "live"} at={url.at} onSet={(at) => setUrl({ at })} /></li>
      </ul>
    </Drop>
  );
}

function MomentField({ at, onSet }: { at: string | undefined; onSet: (at: string) => void }) {
  const local = (ms: number) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  const [text, setText] = useState(() => local(at ? Date.parse(at) : nodeNow()));
  return (
    <form
      className="moment"
      onSubmit={(event) => {
        event.preventDefault();
        const date = new Date(text);
        if (!Number.isNaN(date.getTime())) onSet(date.toISOString());
      }}
    >
      <label>At a moment<input type="datetime-local" step="1" value={text} onChange={(event) => setText(event.target.value)} /></label>
      <button type="submit" className="button">Go</button>
    </form>
  );
}

function FreshnessChip() {
  const sites = useSites();
  const now = useNow();
  const stream = useSyncExternalStore(streamState.subscribe, streamState.read);
  if (!sites.data) return <span className="chip faint">{sites.isError ? "sites not known" : "…"}</span>;
  const { text, tone } = freshnessText(sites.data, now);
  const waiting = stream.kind === "waiting";
  return (
    <Drop
      align="end"
      className="chip"
      label={`Freshness: ${text}`}
      trigger={<><StateMark mark={waiting ? "clock" : tone === "ok" ? "disk" : tone === "warn" ? "triangle" : "ring"} tone={waiting ? "warn" : tone} /> <span>{waiting ? <Reconnecting at={stream.retryAtMs} /> : text}</span></>}
    >
      <p className="popover-title">{text}</p>
      <table className="plain">
        <thead><tr><th>Site</th><th>State</th><th className="num">Picture as of</th></tr></thead>
        <tbody>
          {sites.data.items.map((site) => (
            <tr key={site.site}>
              <td>{site.site}</td>
              <td><State look={SITE_LOOKS[site.state]} /></td>
              <td className="num">{site.as_of ? <Age iso={site.as_of} /> : NOT_MEASURED}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="faint">
        {stream.kind === "live" && "This page is live: the node tells it what changed."}
        {stream.kind === "connecting" && "Connecting to the node's event stream."}
        {waiting && `The node's event stream broke (attempt ${stream.attempt}); what is shown is what was last received.`}
      </p>
    </Drop>
  );
}

function Reconnecting({ at }: { at: number }) {
  const [left, setLeft] = useState(() => at - Date.now());
  useEffect(() => {
    const timer = setInterval(() => setLeft(at - Date.now()), 250);
    return () => clearInterval(timer);
  }, [at]);
  return <>node not heard, again in {span(left + 999)}</>;
}

/** The band across the top while this node is cut off, or may not replicate. */
export function Bands() {
  const sites = useSites();
  const now = useNow();
  const url = useUrl();
  const setUrl = useSetUrl();
  const cut = sites.data?.cut_off;
  return (
    <>
      {cut && (
        <div className="band bad" role="alert">
          <StateMark mark="ring" tone="bad" />
          <p>
            <strong>Cut off since {moment(cut.since, now)}:</strong>{" "}
            {cut.unheard.length > 0 && <>last heard from {cut.unheard.map((each) => `${each.site} ${each.last_heard ? moment(each.last_heard, now) : "never"}`).join(", ")}; </>}
            {cut.heard.length > 0 ? <>still hears {listOf(cut.heard)}; </> : null}
            this node goes on observing and serving.
          </p>
        </div>
      )}
      {sites.data && !sites.data.replicating && (
        <div className="band warn" role="alert">
          <StateMark mark="triangle" tone="warn" />
          <p><strong>This node does not replicate:</strong> {sites.data.replicating_reason ?? "it gives no reason"}.</p>
        </div>
      )}
      {url.at && (
        <div className="band past">
          <Icon name="clock" size={14} />
          <p>Topology as it was at <strong>{moment(url.at, now)}</strong>. Sites, planes and probe results are always those of now.</p>
          <Button onClick={() => setUrl({ at: undefined })}>Back to live</Button>
        </div>
      )}
    </>
  );
}

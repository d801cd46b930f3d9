// How much the way from the node that is asked to another site carries, measured now and within a budget.
import { useState } from "react";

import { api, isLoggedOut } from "../../api/client";
import { useMe, useSites } from "../../api/queries";
import type { Throughput as Carried, ThroughputAnswer } from "../../api/types";
import { Failure, Nothing, SameBy, Section } from "../../parts/basics";
import { millis } from "../../parts/format";
import { bytesText } from "../mesh/rates";

const MIB = [4, 32, 128, 256] as const;

export function Throughput() {
  const me = useMe();
  const sites = useSites();
  const others = (sites.data?.items ?? []).map((each) => each.site).filter((site) => site !== me.data?.site);
  const [chosen, setChosen] = useState("");
  const [most, setMost] = useState<number>(32);
  const [found, setFound] = useState<ThroughputAnswer | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const site = others.includes(chosen) ? chosen : (others[0] ?? "");
  const start = () => {
    setBusy(true);
    setError(null);
    api.throughput(site, most * 2 ** 20)
      .then(setFound)
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  const viewer = me.data?.role === "viewer";
  return (
    <Section title="How much a way carries" note="bytes over the mesh’s own connection, each way, for 5 s at most; one run at a time">
      {sites.data && others.length === 0 && <Nothing title="One site only">There is no other site to measure to: make a token with `holm token create --site S`.</Nothing>}
      {others.length > 0 && (
        <form className="alert-buttons" onSubmit={(event) => { event.preventDefault(); if (!busy && !viewer && site) start(); }}>
          <label>to <select className="alert-ask" value={site} onChange={(event) => setChosen(event.target.value)}>{others.map((each) => <option key={each} value={each}>{each}</option>)}</select></label>
          <label>at most <select className="alert-ask" value={most} onChange={(event) => setMost(Number(event.target.value))}>{MIB.map((each) => <option key={each} value={each}>{each} MiB</option>)}</select></label>
          <button type="submit" className="button" disabled={busy || viewer || !site}>{busy ? "Measuring…" : "Measure"}</button>
          {viewer && <span className="faint">Your session is a viewer&rsquo;s: to send bytes, get a link with `holm login-link --role editor`.</span>}
        </form>
      )}
      {error && !isLoggedOut(error) && <Failure error={error} again={start} />}
      {found && (
        <div role="status">
          <p>{me.data?.site ?? "here"} to {found.site}: {wayText("up", found.up)}{found.up && found.down && "; "}{wayText("down", found.down)}</p>
          {found.errors.map((each) => <p key={each} role="alert">{each}</p>)}
          <p className="faint">{bytesText(found.left_bytes)} may be sent by such runs here within the hour</p>
        </div>
      )}
      <SameBy path="/v1/mesh/throughput" body={{ site: site || "SITE", bytes: most * 2 ** 20 }} cli={`holm mesh throughput ${site || "SITE"} --mib ${most}`} />
    </Section>
  );
}

function wayText(name: string, way: Carried | null | undefined): string {
  return way ? `${name} ${way.mbit_s.toFixed(1)} Mbit/s (best second ${way.best_mbit_s.toFixed(1)}; ${bytesText(way.bytes)} in ${millis(way.ms)})` : "";
}

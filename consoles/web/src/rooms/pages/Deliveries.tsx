// What was told, to whom, and what became of it; what was given up can be told again.
import { useState } from "react";

import { api, isLoggedOut } from "../../api/client";
import { queryClient, useMe } from "../../api/queries";
import type { PageDelivery } from "../../api/types";
import { Age, Button, Failure, State } from "../../parts/basics";
import { eventText, safeUrl, STATE_LOOKS } from "./pages";
import "./pages.css";

const stale = () => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => of === "page-deliveries" || of === "page-connectors" || of === "incident" });

/** A dead letter, told again. */
export function Replay({ id }: { id: string }) {
  const me = useMe();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  if (me.data?.role === "viewer") return null;
  const replay = () => {
    setBusy(true);
    setError(null);
    api.replayPage(id).then(stale)
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  return (
    <>
      <span title="queues it again: it is tried as if it were new"><Button disabled={busy} onClick={replay}>Replay</Button></span>
      {error && !isLoggedOut(error) && <Failure error={error} />}
    </>
  );
}

/** Messages about one incident, the first first. */
export function Paged({ pages }: { pages: readonly PageDelivery[] }) {
  if (pages.length === 0) return <p className="faint">Nobody was paged: no route takes it, or it was over or looked at before it was due.</p>;
  return (
    <ol className="page-list">
      {pages.map((page) => (
        <li key={page.id}>
          <State look={STATE_LOOKS[page.state]} />
          <div>
            <p>
              <strong>{page.connector}</strong> {eventText(page.event)} <span className="faint">from {page.by}, <Age iso={page.at} /></span>{" "}
              <ProviderLink page={page} />
              {page.attempts > 1 && <span className="faint"> {page.attempts} attempts</span>}
              {page.replayed_by && <span className="faint"> replayed by {page.replayed_by}</span>}
            </p>
            {page.reason && <p className="faint">{page.reason}</p>}
            {page.state === "dead" && <Replay id={page.id} />}
          </div>
        </li>
      ))}
    </ol>
  );
}

export function ProviderLink({ page }: { page: Pick<PageDelivery, "url" | "provider_id"> }) {
  const url = safeUrl(page.url);
  if (url) return <a href={url} target="_blank" rel="noreferrer noopener">{page.provider_id ?? "at the provider"}</a>;
  return page.provider_id ? <span className="mono faint">{page.provider_id}</span> : null;
}

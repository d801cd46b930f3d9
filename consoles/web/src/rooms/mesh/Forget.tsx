// Letting go of a site that is gone for good, asked twice; and those that were let go of.
import { useState } from "react";

import { api, isLoggedOut } from "../../api/client";
import { queryClient } from "../../api/queries";
import type { Gone, MeshView } from "../../api/types";
import { Button, Failure, Section, Time, Toned } from "../../parts/basics";
import { plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";

/** Whether a site may be let go of as far as this page can tell: all its nodes are down. The node judges again. */
export function mayForget(view: Pick<MeshView, "site" | "members" | "lags">, site: string): boolean {
  const lag = view.lags.find((each) => each.site === site);
  const lost = lag?.state === "unreachable" || lag?.state === "never_heard";
  return site !== view.site && lost && view.members.every((member) => member.site !== site || (member.state === "down" && !member.connected));
}

export function Forget({ site }: { site: string }) {
  const [asked, setAsked] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const forget = () => {
    setBusy(true);
    api.forget(site)
      .then(() => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => of === "mesh" || of === "sites" }))
      .then(() => setAsked(false))
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))))
      .finally(() => setBusy(false));
  };
  return (
    <div className="mesh-forget">
      {error && !isLoggedOut(error) && <Failure error={error} />}
      {asked
        ? <p>Nobody will look for {site} any more, and what it held open ends now, at every site. It is there again as soon as it comes back. <Button onClick={forget} disabled={busy}>Forget {site}</Button> <Button onClick={() => setAsked(false)}>Keep it</Button></p>
        : <Button onClick={() => setAsked(true)}>Gone for good: forget it…</Button>}
    </div>
  );
}

const COLUMNS: readonly Column<Gone>[] = [
  { id: "site", title: "Site", width: "minmax(120px, 1fr)", value: (row) => row.site },
  { id: "node", title: "Node", width: "minmax(120px, 1fr)", value: (row) => row.node, show: (row) => row.node ?? <span className="faint">every node</span> },
  { id: "at", title: "Forgotten", width: "180px", value: (row) => row.at, show: (row) => <Time iso={row.at} /> },
  { id: "back", title: "Since then", width: "minmax(140px, 1fr)", value: (row) => (row.back ? "back" : "gone"), show: (row) => (row.back ? <Toned tone="ok">it came back</Toned> : <span className="faint">not seen</span>) },
];

export function Forgotten({ gone }: { gone: readonly Gone[] }) {
  if (gone.length === 0) return null;
  return (
    <Section title="Forgotten" note={<>{plural(gone.length, "entry", "entries")}; <code>holm mesh forget</code></>} flush>
      <Table label="Forgotten" columns={COLUMNS} rows={gone} rowKey={(row) => `${row.site}/${row.node ?? ""}`} empty="None." />
    </Section>
  );
}

// Which site may have which tenant, for who may see it: an operator of the mesh.
import { isLoggedOut, ApiError } from "../../api/client";
import { useTenants } from "../../api/queries";
import type { Tenants as TenantList } from "../../api/types";
import { useNow } from "../../frame/clock";
import { Failure, Section, Time, Toned, Waiting } from "../../parts/basics";
import { ahead, plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";

type Tenant = TenantList["items"][number];
type Verdict = Tenant["sites"][number]["replicate"];

interface Row {
  tenant: string;
  named: boolean;
  site: string;
  replicate: Verdict | null;
  query: Verdict | null;
}

const COLUMNS: readonly Column<Row>[] = [
  { id: "tenant", title: "Tenant", width: "minmax(160px, 1.3fr)", value: (row) => row.tenant, show: (row) => (row.named ? <strong>{row.tenant}</strong> : <span className="mono faint" title="Not granted to this site: it does not know the name">{row.tenant}</span>) },
  { id: "site", title: "Site", width: "minmax(110px, 1fr)", value: (row) => row.site },
  { id: "replicate", title: "Replicate", width: "minmax(150px, 1fr)", value: (row) => row.replicate?.state ?? null, show: (row) => <Standing verdict={row.replicate} /> },
  { id: "query", title: "Query", width: "minmax(150px, 1fr)", value: (row) => row.query?.state ?? null, show: (row) => <Standing verdict={row.query} /> },
];

export function Tenants() {
  const tenants = useTenants();
  // A viewer, or an admin of another tenant, has no business with it.
  if (tenants.error instanceof ApiError && tenants.error.status === 403) return null;
  const items = tenants.data?.items ?? [];
  const rows = items.flatMap((tenant): Row[] => {
    const name = tenant.name ?? tenant.tag;
    const named = tenant.name !== null;
    if (tenant.sites.length === 0) return [{ tenant: name, named, site: "none", replicate: null, query: null }];
    return tenant.sites.map((site) => ({ tenant: name, named, site: site.site, replicate: site.replicate, query: site.query }));
  });
  return (
    <Section title="Tenants" note={<>{plural(items.length, "tenant")}; <code>holm tenant grant</code> and <code>revoke</code> at the node that made one</>} flush>
      {tenants.error && !isLoggedOut(tenants.error) && <Failure error={tenants.error} again={() => void tenants.refetch()} />}
      {tenants.isPending && <Waiting rows={3} />}
      {tenants.data && <Table label="Tenants" columns={COLUMNS} rows={rows} rowKey={(row) => `${row.tenant}/${row.site}`} empty="No tenant was made in this mesh." />}
    </Section>
  );
}

function Standing({ verdict }: { verdict: Verdict | null }) {
  const now = useNow();
  if (verdict === null) return <span className="faint">no</span>;
  switch (verdict.state) {
    case "granted":
      return <Toned tone="ok">granted{verdict.at && <span title={verdict.at}>, ends {ahead(verdict.at, now)}</span>}</Toned>;
    case "not_yet":
      return <Toned tone="warn">from <Time iso={verdict.at} /></Toned>;
    case "expired":
      return <Toned tone="warn">expired <Time iso={verdict.at} /></Toned>;
    case "revoked":
      return <Toned tone="bad">revoked <Time iso={verdict.at} /></Toned>;
    case "never_granted":
      return <span className="faint">no</span>;
  }
}

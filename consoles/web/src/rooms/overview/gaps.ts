// What is not being watched, worst first. "Not watching" must never look like "nothing there".
import type { Plane, Planes, SiteState, Sites, Topology } from "../../api/types";

export type Gap = { text: string; remedy?: string } & ({ kind: "site"; state: SiteState } | { kind: "plane"; state: Plane["state"] } | { kind: "note" });

export function notWatched(sites: Sites | undefined, planes: Planes | undefined, topology: Topology | undefined): Gap[] {
  const gaps: Gap[] = [];
  for (const site of sites?.items ?? []) {
    if (site.state === "unreachable") gaps.push({ kind: "site", state: site.state, text: `${site.site} is not heard: its last known picture is shown` });
    if (site.state === "never_heard") gaps.push({ kind: "site", state: site.state, text: `${site.site} was never heard` });
    if (site.state === "stale") gaps.push({ kind: "site", state: site.state, text: `${site.site}: its picture is older than it should be` });
  }
  for (const plane of planes?.items ?? []) {
    if (plane.state === "running") continue;
    const text = `the ${plane.plane} plane here is ${plane.state}: ${plane.reason || "it gives no reason"}`;
    gaps.push({ kind: "plane", state: plane.state, text, ...(plane.remedy ? { remedy: plane.remedy } : {}) });
  }
  for (const note of topology?.coverage.notes ?? []) gaps.push({ kind: "note", text: note });
  return gaps;
}

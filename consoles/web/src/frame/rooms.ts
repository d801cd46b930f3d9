// The rooms that exist. One more line here, one more route in router.tsx: that is a new room.
import type { Plane } from "../api/types";
import type { IconName } from "../parts/icons";

export interface Room {
  path: "/" | "/topology" | "/incidents" | "/paging" | "/slos" | "/alerts" | "/changes" | "/tests" | "/flows" | "/hosts" | "/endpoints" | "/mesh" | "/query" | "/settings";
  label: string;
  icon: IconName;
  /** The key after `g`. */
  key: string;
  /** The plane that fills the room: without that plane there is no room; while it is off the room says why. */
  plane?: string;
  about: string;
}

export const ROOMS: readonly Room[] = [
  { path: "/", label: "Overview", icon: "overview", key: "o", about: "every site, plane and failure at a glance" },
  { path: "/topology", label: "Topology", icon: "topology", key: "t", about: "the live graph, at any moment" },
  { path: "/incidents", label: "Incidents", icon: "incident", key: "i", about: "what is wrong, as all sites' reports come to, and what is done about it" },
  { path: "/paging", label: "Paging", icon: "page", key: "n", about: "who is told of incidents, by which provider, and what became of it" },
  { path: "/slos", label: "SLOs", icon: "slo", key: "l", about: "how good it shall be, how much of the budget is left, and how quickly it goes" },
  { path: "/alerts", label: "Alerts", icon: "alert", key: "e", about: "rules of what shall not be, what of it is, and silences" },
  { path: "/changes", label: "Changes", icon: "change", key: "c", about: "what people and machines did, told by webhooks and seen by planes" },
  { path: "/tests", label: "Tests & paths", icon: "tests", key: "p", plane: "active", about: "latest probe results, site by site" },
  { path: "/flows", label: "Flows", icon: "flows", key: "f", plane: "flow", about: "who talks to whom, and how much, by the word of routers and switches" },
  { path: "/hosts", label: "Hosts", icon: "hosts", key: "h", plane: "host", about: "who connects to whom, by process" },
  { path: "/endpoints", label: "Endpoints", icon: "endpoint", key: "d", about: "laptops and branch devices, and which part of their way is to blame" },
  { path: "/mesh", label: "Mesh", icon: "mesh", key: "m", about: "sites, nodes, certificates, replication" },
  { path: "/query", label: "Ask", icon: "ask", key: "a", about: "one question in SQL to the rows of every site" },
  { path: "/settings", label: "Settings", icon: "settings", key: "s", about: "planes, this node, appearance" },
];

/** The rooms of the rail: those whose plane exists. Until the planes are known, all of them, so that nothing jumps. */
export function roomsFor(planes: readonly Plane[] | undefined): Room[] {
  return ROOMS.filter((room) => !room.plane || !planes || planes.some((plane) => plane.plane === room.plane));
}

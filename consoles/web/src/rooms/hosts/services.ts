// Flow edges as rows of who connects to whom.
import type { Topology } from "../../api/types";
import { attributeText } from "../../parts/format";

export interface ServiceRow {
  id: string;
  from: string;
  to: string;
  process: string | null;
  command: string | null;
  direction: string | null;
  sites: string;
  since: string;
}

// Attribute names of the OTel semantic conventions, the first that is there.
const PROCESS = ["process.executable.name", "process.name"];
const COMMAND = ["process.command_line", "process.command", "process.executable.path"];
const DIRECTION = ["direction", "network.connection.direction", "holm.direction", "network.io.direction"];

export function serviceRows(topology: Topology, within: (site: string) => boolean): ServiceRow[] {
  return topology.edges
    .filter((edge) => edge.kind === "flow" && edge.sites.some(within))
    .map((edge) => ({
      id: edge.id,
      from: edge.from,
      to: edge.to,
      process: first(edge.attributes, PROCESS),
      command: first(edge.attributes, COMMAND),
      direction: first(edge.attributes, DIRECTION),
      sites: edge.sites.join(", "),
      since: edge.since,
    }));
}

function first(attributes: Topology["edges"][number]["attributes"], names: readonly string[]): string | null {
  for (const name of names) {
    const value = attributes[name];
    if (value) return attributeText(value);
  }
  return null;
}

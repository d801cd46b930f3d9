// The ways to a target as a picture: hops from left to right, interfaces of a hop one below the other. No React here.
import type { TestHop, TestInterface, TestPathChange, TestWays } from "../../api/types";
import { millis, NOT_MEASURED } from "../../parts/format";
import type { StateLook } from "../../parts/states";

/** Share of probes lost on the way from which on a hop is bad; anything above zero is worth a look. */
export const BAD_LOSS = 0.05;
/** A hop is slow when its least round trip is by so many milliseconds longer than that of the hop before. */
export const SLOW_BY_MS = 50;
const [COLUMN, ROW, BOX_WIDTH, BOX_HEIGHT, MARGIN] = [176, 56, 142, 42, 8];

export const HOP_LOOKS: Record<"ok" | "slow" | "lossy" | "lost" | "silent" | "ends", StateLook> = {
  ok: { tone: "ok", mark: "disk", word: "answers", means: "nothing is lost on the way to it" },
  slow: { tone: "warn", mark: "clock", word: "slow", means: `its least round trip is ${SLOW_BY_MS} ms or more longer than that of the hop before` },
  lossy: { tone: "warn", mark: "slash", word: "loses some", means: "some probes are lost on the way to it" },
  lost: { tone: "bad", mark: "triangle", word: "loses many", means: "5 % of the probes or more are lost on the way to it" },
  silent: { tone: "unknown", mark: "ring", word: "silent", means: "nothing answers, and packets go on" },
  ends: { tone: "bad", mark: "square", word: "goes no further", means: "it says that packets go no further" },
};

export interface WayNode {
  id: string;
  x: number;
  y: number;
  hop: TestHop;
  /** None: nothing answers at this hop. */
  interface: TestInterface | null;
  look: StateLook;
}

export interface WayEdge {
  id: string;
  points: readonly [number, number, number, number];
  /** Nobody knows which interface leads where around a silent hop. */
  guessed: boolean;
  /** Both ends saw MPLS labels. */
  tunnel: boolean;
}

export interface WayPicture {
  width: number;
  height: number;
  box: { width: number; height: number };
  nodes: WayNode[];
  edges: WayEdge[];
}

export const lossOf = (hop: Pick<TestHop, "sent" | "lost">): number | null => (hop.sent > 0 ? hop.lost / hop.sent : null);

function lookOf(hop: TestHop, of: TestInterface | null, before: number | null): StateLook {
  if (!of) return hop.lost > 0 ? HOP_LOOKS.lost : HOP_LOOKS.silent;
  if (of.unreachable !== null) return HOP_LOOKS.ends;
  const loss = lossOf(hop) ?? 0;
  if (loss >= BAD_LOSS) return HOP_LOOKS.lost;
  if (loss > 0) return HOP_LOOKS.lossy;
  return before !== null && of.rtt_min_ms - before >= SLOW_BY_MS ? HOP_LOOKS.slow : HOP_LOOKS.ok;
}

const idOf = (ttl: number, address: string | null) => `${ttl} ${address ?? "*"}`;

/** Where everything stands. Interfaces are in the order of those that lead to them, so that links cross little. */
export function picture(ways: Pick<TestWays, "hops" | "links">): WayPicture {
  const most = Math.max(1, ...ways.hops.map((hop) => hop.interfaces.length));
  const height = most * ROW + 2 * MARGIN;
  const nodes: WayNode[] = [];
  const at = new Map<string, WayNode>();
  let best: number | null = null;
  ways.hops.forEach((hop, column) => {
    const rank = (address: string) => {
      const from = ways.links.filter((link) => link.ttl === hop.ttl - 1 && link.to === address).map((link) => at.get(idOf(link.ttl, link.from))?.y);
      const known = from.filter((y) => y !== undefined);
      return known.length > 0 ? known.reduce((sum, y) => sum + y, 0) / known.length : height;
    };
    const ordered: (TestInterface | null)[] = hop.interfaces.length > 0 ? [...hop.interfaces].sort((a, b) => rank(a.address) - rank(b.address) || a.address.localeCompare(b.address)) : [null];
    const top = (height - ordered.length * ROW) / 2;
    const before = best;
    ordered.forEach((each, row) => {
      const id = idOf(hop.ttl, each?.address ?? null);
      const node: WayNode = { id, x: MARGIN + column * COLUMN, y: top + row * ROW + (ROW - BOX_HEIGHT) / 2, hop, interface: each, look: lookOf(hop, each, before) };
      nodes.push(node);
      at.set(id, node);
      if (each) best = row === 0 || best === null ? each.rtt_min_ms : Math.min(best, each.rtt_min_ms);
    });
  });
  const edges: WayEdge[] = [];
  const draw = (from: WayNode, to: WayNode, guessed: boolean) => {
    const tunnel = (from.interface?.labels.length ?? 0) > 0 && (to.interface?.labels.length ?? 0) > 0;
    edges.push({ id: `${from.id} ${to.id}`, points: [from.x + BOX_WIDTH, from.y + BOX_HEIGHT / 2, to.x, to.y + BOX_HEIGHT / 2], guessed, tunnel });
  };
  for (const link of ways.links) {
    const [from, to] = [at.get(idOf(link.ttl, link.from)), at.get(idOf(link.ttl + 1, link.to))];
    if (from && to) draw(from, to, false);
  }
  ways.hops.forEach((hop, n) => {
    const next = ways.hops[n + 1];
    if (!next || (hop.interfaces.length > 0 && next.interfaces.length > 0)) return;
    for (const from of nodes.filter((node) => node.hop === hop)) for (const to of nodes.filter((node) => node.hop === next)) draw(from, to, true);
  });
  return { width: Math.max(1, ways.hops.length) * COLUMN - (COLUMN - BOX_WIDTH) + 2 * MARGIN, height, box: { width: BOX_WIDTH, height: BOX_HEIGHT }, nodes, edges };
}

/** What stands in a box below the address. */
export function underText(node: Pick<WayNode, "hop" | "interface">): string {
  const { hop, interface: of } = node;
  const loss = lossOf(hop);
  const lost = loss !== null && loss > 0 ? ` −${percentText(loss)}` : "";
  if (!of) return `silent${lost}`;
  const marks = [of.system ? `AS${of.system}` : "", of.labels.length > 0 ? "MPLS" : "", of.rewritten ? "NAT" : ""].filter(Boolean).join(" ");
  return `${millis(of.rtt_min_ms)}${lost}${marks ? ` ${marks}` : ""}`;
}

/** What is not zero is never shown as zero. */
export const percentText = (share: number | null): string =>
  share === null ? NOT_MEASURED : share === 0 ? "0 %" : share < 0.01 ? "<1 %" : `${Math.floor(share * 100)} %`;

/** A probability as a bound: rounded up, never to zero. */
const boundText = (chance: number): string => String(Math.max(1, Math.ceil(chance * 10_000)) / 10_000);

/** All that is known of an interface or a silent hop, as pairs of a name and what it is. */
export function factsOf({ hop, interface: of, look }: Pick<WayNode, "hop" | "interface" | "look">): (readonly [string, string])[] {
  const facts: (readonly [string, string])[] = [["hop", `${hop.ttl}, ${look.word}: ${look.means}`]];
  if (of) {
    facts.push(["round trip", `${millis(of.rtt_min_ms)} to ${millis(of.rtt_max_ms)}, ${millis(of.rtt_avg_ms)} in the mean`]);
    if (of.system) facts.push(["AS", `${of.system}${of.system_name ? ` ${of.system_name}` : ""}${of.country ? `, ${of.country}` : ""}`]);
    if (of.place) facts.push(["place", of.latitude === null || of.longitude === null ? of.place : `${of.place} (${of.latitude.toFixed(2)}, ${of.longitude.toFixed(2)})`]);
    if (of.name) facts.push(["interface", of.name]);
    if (of.labels.length > 0) facts.push(["MPLS labels", of.labels.join(", ")]);
    if (of.rewritten) facts.push(["NAT", "probes were rewritten before they came here"]);
    if (of.unreachable !== null) facts.push(["says", `packets go no further (ICMP code ${of.unreachable})`]);
  }
  if (of) for (const alias of hop.aliases.filter((alias) => alias.addresses.includes(of.address))) facts.push(["one router?", `with ${alias.addresses.filter((address) => address !== of.address).join(", ")}: their replies are numbered by one counter (by chance: at most ${boundText(alias.chance)})`]);
  facts.push(["probes", `${hop.sent}: ${hop.lost} lost on the way (${percentText(lossOf(hop))}), ${hop.silent} not answered by the hop itself`]);
  const marks = [hop.per_packet && "sends packets of one flow by several ways", hop.rate_limited && "limits its replies", hop.meshed && "its links are meshed or uneven"].filter((mark) => mark !== false);
  if (marks.length > 0) facts.push(["hop's ways", marks.join("; ")]);
  return facts;
}

/** A change in words. */
export function changeText(change: TestPathChange): string {
  const parts: string[] = [];
  if (change.added.length > 0) parts.push(`new: ${change.added.join(", ")}`);
  if (change.removed.length > 0) parts.push(`gone: ${change.removed.join(", ")}`);
  if (change.as_path && change.as_path_before) parts.push(`AS path ${change.as_path} instead of ${change.as_path_before}`);
  if (change.mtu && change.mtu_before) parts.push(`path MTU ${change.mtu} instead of ${change.mtu_before}`);
  return parts.join("; ") || change.changed.join(", ");
}

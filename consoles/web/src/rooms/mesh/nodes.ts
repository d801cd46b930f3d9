// Every node of the mesh as one row: what `/v1/mesh` measures now, and the identity and certificate that `/v1/sites` knows.
import type { MeshMember, MeshView, Peer, Sites } from "../../api/types";

export interface NodeRow {
  site: string;
  node: string;
  state: Peer["state"];
  connected: boolean;
  connectedSince: string | null;
  /** The relay that the connection goes through. */
  via: string | null;
  rttMs: number | null;
  skewMs: number | null;
  clock: MeshMember["clock"];
  heard: string | null;
  lagMs: number | null;
  /** Whether it signed its latest lease; null: none was heard. */
  signed: boolean | null;
  sync: MeshMember["last_sync"];
  refusal: string | null;
  addresses: readonly string[];
  spiffeId: string | null;
  peerId: string | null;
  svidNotAfter: string | null;
}

/** This node first, then those with trouble, then by name. */
export function nodeRows(view: MeshView, sites: Sites | undefined): NodeRow[] {
  const peers = new Map<string, Peer>();
  for (const site of sites?.items ?? []) for (const peer of site.nodes) peers.set(`${site.site}/${peer.node}`, peer);
  const lags = new Map(view.lags.map((lag) => [lag.site, lag.lag_ms]));
  const members = view.members.map((member): NodeRow => {
    const peer = peers.get(`${member.site}/${member.node}`);
    return {
      site: member.site, node: member.node, state: member.state, connected: member.connected, connectedSince: member.connected_since, via: member.via ?? null,
      rttMs: member.rtt_ms, skewMs: member.clock_skew_ms, clock: member.clock, heard: member.last_heard, lagMs: lags.get(member.site) ?? null, signed: member.lease_signed,
      sync: member.last_sync, refusal: member.last_refusal, addresses: member.addresses,
      spiffeId: peer?.spiffe_id ?? null, peerId: peer?.peer_id ?? null, svidNotAfter: peer?.svid_not_after ?? null,
    };
  });
  const self = peers.get(`${view.site}/${view.node}`);
  const own: NodeRow = {
    site: view.site, node: view.node, state: "self", connected: false, connectedSince: null, via: null, rttMs: null, skewMs: null, clock: null, heard: null, lagMs: null, signed: null,
    sync: null, refusal: null, addresses: self?.addresses ?? [], spiffeId: self?.spiffe_id ?? null, peerId: self?.peer_id ?? null, svidNotAfter: self?.svid_not_after ?? null,
  };
  return [own, ...members.filter((row) => row.state !== "self").sort((a, b) => trouble(b) - trouble(a) || byName(a, b))];
}

function trouble(row: NodeRow): number {
  return (row.state === "down" ? 4 : row.state === "suspect" ? 3 : 0) + (row.sync?.error ? 2 : 0) + (row.connected ? 0 : 1);
}

function byName(a: NodeRow, b: NodeRow): number {
  const [left, right] = [`${a.site}/${a.node}`, `${b.site}/${b.node}`];
  return left < right ? -1 : left > right ? 1 : 0;
}

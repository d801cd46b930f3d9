// DEVELOPMENT ONLY. The fake node's `/v1/mesh`: invented, in the shape of openapi.json. See fake-node.mjs.
import { createHash } from "node:crypto";

const PEERS_ASKED = 32;

/** `names`: the sites, this node's own first. `mode`: `cut-off`, `off`, `down` (a site, two ways, one undecided) or nothing. */
export function fakeMesh(names, { mode, started }) {
  const iso = (ms) => new Date(ms).toISOString();
  const [own, ...others] = names;
  const far = (n) => 1 + ((n * 7919) % 190);
  const trouble = mode === "down" ? { down: others[1], half: others[0], broken: others[4], never: others[6], late: new Set([others[3], others[8]]) } : { late: new Set() };
  const word = (by, of) => {
    if (mode === "cut-off" && by === own) return "no";
    if (of === trouble.down || (trouble.never && of === trouble.never)) return of === trouble.never ? "not_tried" : "no";
    if (by === trouble.half && of === own) return "no";
    if (trouble.broken && ((by === own && of === trouble.broken) || (of === own && by === trouble.broken))) return "no";
    return "yes";
  };
  const lagOf = (site, n, now) => {
    if (site === own) return { state: "here", lag_ms: 0 };
    if (mode === "cut-off") return { state: n % 2 ? "stale" : "unreachable", lag_ms: now - started + 42_000 };
    if (site === trouble.down) return { state: "unreachable", lag_ms: now - started + 61_000 };
    if (site === trouble.never) return { state: "never_heard", lag_ms: null };
    if (trouble.late.has(site)) return { state: "stale", lag_ms: 14_000 + (now % 3000) };
    return { state: "live", lag_ms: Math.floor(300 + far(n) * 4 + (names.length > 500 && n % 9 === 0 ? 6_000 : 0) + (now % 1000)) };
  };
  return (now) => {
    const s = (now - started) / 1000;
    const verdict = (kind, severity, subject, text, witnesses, reached_by, raised) => ({ kind, severity, subject, text, witnesses, reached_by, since: iso(started - 30_000), raised });
    const verdicts = mode === "cut-off" ? [verdict("cut_off", "critical", "this site", `${own} is cut off: it reaches none of ${others.slice(0, 6).join(", ")}; look at its own uplink first`, [own], [], true)]
      : mode !== "down" ? [] : [
        verdict("site_down", "critical", trouble.down, `site ${trouble.down} is down: ${own}, ${others[0]} tried it in vain and nobody reaches it`, [own, others[0]], [], true),
        verdict("link_down", "warning", [own, trouble.half].sort().join(" - "), `the way between ${own} and ${trouble.half} is down, seen from ${trouble.half}; reached by ${others[2] ?? own}`, [trouble.half], [others[2] ?? own], false),
        ...(trouble.never ? [verdict("undecided", "info", trouble.never, `${own} does not reach ${trouble.never}, and no other site has tried: the site, the way or ${own} itself may have failed`, [own], [], false)] : []),
      ];
    const speakers = mode === "cut-off" ? [own] : names.filter((name) => name !== trouble.down && name !== trouble.never).slice(0, names.length > 300 ? 4 * PEERS_ASKED : names.length);
    return {
      site: own, node: `${own}-1`, replicating: mode !== "off", replicating_reason: mode === "off" ? "this node's SVID expired at 2026-11-20T11:02:51.000Z; re-enrol it with `holm join TOKEN`" : null,
      verdicts,
      gone: mode === "down" ? [{ site: "osaka", node: null, at: iso(started - 86400e3), back: false }] : [],
      members: others.map((site, n) => {
        const { state, lag_ms } = lagOf(site, n + 1, now);
        const heard = state === "live";
        return {
          site, node: `${site}-1`, state: heard ? "alive" : state === "stale" ? "suspect" : "down", connected: heard && (n < PEERS_ASKED || names.length <= 300), connected_since: heard ? iso(started) : null,
          last_heard: lag_ms === null ? null : iso(now - lag_ms), rtt_ms: heard ? far(n) : null, clock_skew_ms: heard ? (n % 11 === 5 ? -1840 : n % 5) : null, clock: heard ? { offset_ms: n % 5, error_ms: 0.4, drift_ppm_min: -12, drift_ppm_max: 9, one_way_out_ms_min: far(n) / 2 - 0.4, one_way_out_ms_max: far(n) / 2 + 0.4, one_way_in_ms_min: far(n) / 2 - 0.4, one_way_in_ms_max: far(n) / 2 + 0.4, samples: 12 } : null, addresses: [`192.0.2.${n % 250}:7000`], lease_signed: lag_ms === null ? null : n % 7 !== 3, last_refusal: heard ? null : "no answer within 5 s",
          last_sync: lag_ms === null ? null : { at: iso(now - (lag_ms % 9000)), pulled: n % 3, pushed: n % 2, failed: 0, bytes_in: 900 + n, bytes_out: 420 + n, error: heard ? null : "the stream ended before the peer answered" },
        };
      }),
      views: speakers.map((by) => ({ site: by, node: `${by}-1`, as_of: iso(now - 2000), reached: names.filter((of) => of !== by).map((site) => ({ site, reached: word(by, site) })) })),
      lags: names.map((site, n) => { const { state, lag_ms } = lagOf(site, n, now); return { site, state, as_of: lag_ms === null ? null : iso(now - lag_ms), lag_ms }; }),
      documents: {
        digest: createHash("sha256").update(String(Math.floor(s / 5))).digest("hex"), total: names.length, bytes: names.length * 61_000, over_budget: mode === "down" ? 1 : 0,
        items: names.slice(0, 200).map((site, n) => ({ name: `topology ${site}/0/0`, bytes: n === 0 && mode === "down" ? 281_003 : 61_000 - n * 11, ops: 4100 - n, heads: 1 + (n % 3), over_budget: n === 0 && mode === "down" })),
        quarantined: mode === "down" ? [{ document: `topology ${others[0]}/0/0`, from: `${others[2] ?? own}/${others[2] ?? own}-1`, at: iso(started - 12_000), reason: "a change names an actor that is not of the site", bytes: 1874 }] : [],
      },
      channels: [{ channel: "sync", bytes_in: Math.floor(15_000 + s * 910), bytes_out: Math.floor(15_200 + s * 640) }, { channel: "hints", bytes_in: Math.floor(9_000 + s * 120), bytes_out: Math.floor(8_000 + s * 118) }],
      drops: [{ name: "hints_duplicate", count: Math.floor(17 + s / 2) }, { name: "messages_not_permitted", count: mode === "down" ? 3 : 0 }, { name: "documents_failed", count: 0 }, { name: "views_failed", count: mode === "down" ? Math.floor(s / 5) : 0 }, { name: "views_refused", count: 0 }],
      counts: [{ name: "connections", count: others.length }, { name: "hints_received", count: Math.floor(39 + s) }, { name: "syncs", count: Math.floor(51 + s / 2) }],
      seeds: others.slice(0, 2).map((site, n) => ({ address: `192.0.2.${n}:7000`, last_refusal: site === trouble.down ? "no answer within 5 s" : null })),
      refusals: mode === "down" ? [{ address: "203.0.113.9:41000", direction: "accepted", reason: "the peer's SVID expired 2026-11-19T08:11:02.000Z", at: iso(now - 8000), count: 3 }] : [],
      stuck: null, warnings: mode === "down" ? [`the clock of ${others[2] ?? own} is 1.8 s behind this node's`] : [],
    };
  };
}

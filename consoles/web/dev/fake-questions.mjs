// DEVELOPMENT ONLY. The fake node's answers about its invented elements: search, changes, comparisons, what breaks, tenants. See fake-node.mjs.

export function fakeQuestions({ nodes, edges, sites, iso, freshness, coverage }) {
  const all = () => [...nodes.values(), ...edges.values()];
  const limited = (list, url) => ({ items: list.slice(0, Number(url.searchParams.get("limit") ?? 1000)), total: list.length });

  /** Who depends on `target` by flows, nearest first; and the paths over it. A toy: the real node knows detours. */
  const impact = ({ target }) => {
    const distance = new Map([[target, 0]]);
    for (const id of distance.keys()) for (const edge of edges.values()) if (edge.kind === "flow" && edge.to === id && !distance.has(edge.from)) distance.set(edge.from, distance.get(id) + 1);
    const services = [...distance].filter(([id, far]) => far > 0 && id.startsWith("service:")).map(([id, far]) => ({ id, distance: far }));
    const broken = [...edges.values()].filter((edge) => edge.kind === "path" && (edge.to === target || edge.from === target)).map((edge) => ({ from: edge.from, to: edge.to, route: [edge.from, edge.to], status: edge.provenance }));
    return {
      at: iso(Date.now()), live: true, failed: [target], drained: [], impacted_services: services, broken_paths: broken, rerouted_paths: [], stranded_paths: [], impacted_prefixes: [], impacted_slos: null, disconnected: [], coverage: coverage(), freshness: freshness(),
      totals: { failed: 1, drained: 0, impacted_services: services.length, broken_paths: broken.length, rerouted_paths: 0, stranded_paths: 0, impacted_prefixes: 0, disconnected: 0 },
    };
  };
  const sides = (left, right) => ({ only_left: left.filter((each) => !right.includes(each)), only_right: right.filter((each) => !left.includes(each)), both: left.filter((each) => right.includes(each)) });
  const none = { only_left: [], only_right: [], both: [] };
  const grant = { state: "granted", at: null };

  return (url, body) => {
    switch (url.pathname) {
      case "/v1/tenants":
        return { items: [{ tag: "f4c3a11d", name: "FAKE (dev)", authority_here: true, opened_here: true, sites: sites.map((site, n) => ({ site, replicate: n === 2 ? { state: "expired", at: iso(Date.now() - 3600e3) } : grant, query: grant })) }] };
      case "/v1/topology/search": {
        const q = (url.searchParams.get("q") ?? "").toLowerCase();
        const hits = [...nodes.values()].filter((node) => node.id.toLowerCase().includes(q)).map((node) => node.id);
        const { items, total } = limited(hits, url);
        return { items, total, matched: Object.fromEntries(items.map((id) => [id, id])) };
      }
      case "/v1/topology/changes": {
        const [from, to] = [Date.parse(url.searchParams.get("from") ?? ""), Date.now()];
        const buckets = Number(url.searchParams.get("buckets") ?? 60);
        const opened = new Array(buckets).fill(0);
        for (const element of all()) {
          const bucket = Math.floor(((Date.parse(element.since) - from) / (to - from)) * buckets);
          if (bucket >= 0 && bucket < buckets) opened[bucket] += 1;
        }
        return { items: opened.map((count, n) => ({ from: iso(from + ((to - from) * n) / buckets), opened: count, closed: 0, changed: 0 })) };
      }
      case "/v1/topology/diff": {
        const [from, to] = [url.searchParams.get("from") ?? "", url.searchParams.get("to") ?? iso(Date.now())];
        const appeared = all().filter((element) => element.since > from && element.since <= to).map((element) => element.id);
        const empty = { items: [], total: 0 };
        return { from, to, appeared: limited(appeared, url), vanished: empty, returned: empty, changed: empty, unknown: empty, freshness: freshness() };
      }
      case "/v1/topology/spof": {
        const ranked = [...nodes.keys()].map((id) => impact({ target: id })).map(({ failed, totals }) => ({ id: failed[0], broken_paths: totals.broken_paths, impacted_services: totals.impacted_services, disconnected: 0, blast_radius: totals.broken_paths + totals.impacted_services }));
        const worst = ranked.filter((each) => each.blast_radius > 0).sort((a, b) => b.blast_radius - a.blast_radius);
        return { ...limited(worst, url), at: iso(Date.now()), live: true, coverage: coverage(), freshness: freshness() };
      }
      case "/v1/topology/whatif": return body?.target ? impact(body) : null;
      case "/v1/topology/whatif/compare": {
        if (!body?.left || !body.right) return null;
        const [left, right] = [impact(body.left), impact(body.right)];
        const services = sides(left.impacted_services.map((each) => each.id), right.impacted_services.map((each) => each.id));
        return { left, right, complete: true, impacted_services: services, broken_paths: none, rerouted_paths: none, impacted_prefixes: none, disconnected: none };
      }
      default: return null;
    }
  };
}

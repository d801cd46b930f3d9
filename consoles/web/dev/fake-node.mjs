// DEVELOPMENT ONLY. A fake node: invented data in the shapes of openapi.json, so that the console can be worked on
// without a mesh. Nothing here is built into dist; its tenant is called FAKE so that no picture of it passes for a real one.
//
//   node dev/fake-node.mjs            three sites, all heard; http://127.0.0.1:8181/login?code=fake
//   FAKE=cut-off node dev/fake-node.mjs   this node hears nobody
//   FAKE=off     node dev/fake-node.mjs   the planes are off
//   FAKE=down    node dev/fake-node.mjs   a site is down, and ways between others
//   FAKE_SITES=2000 node dev/fake-node.mjs  that many sites; 1 is a node that is alone
//   FAKE_NODES=50000 node dev/fake-node.mjs   a large picture
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { createHash, randomUUID } from "node:crypto";

import { fakeMesh } from "./fake-mesh.mjs";
import { fakeQuestions } from "./fake-questions.mjs";

const port = Number(process.env.PORT ?? 8181);
const mode = process.env.FAKE ?? "";
const large = Number(process.env.FAKE_NODES ?? 0);
const dist = join(import.meta.dirname, "..", "dist");
const started = Date.now();
const iso = (ms) => new Date(ms).toISOString();
const many = Number(process.env.FAKE_SITES ?? 3);
const sites = ["berlin", "tokyo", "saopaulo"].slice(0, many);
// The topology stays that of three; the mesh has more.
const meshSites = [...sites, ...Array.from({ length: Math.max(0, many - 3) }, (_, n) => `edge-${String(n + 4).padStart(4, "0")}`)];
const cutOff = mode === "cut-off";
const off = mode === "off";
let generation = 7;
const streams = new Set();

// A small generator of numbers that are the same at every start.
let seed = 42;
const random = () => ((seed = (seed * 1664525 + 1013904223) >>> 0), seed / 2 ** 32);
const pick = (list) => list[Math.floor(random() * list.length)];

const nodes = new Map();
const edges = new Map();
const node = (site, kind, name, attributes = {}, since = started - Math.floor(random() * 3 * 3600e3)) => {
  const id = `${kind}:${name}`;
  const known = nodes.get(id);
  if (known) {
    if (!known.sites.includes(site)) known.sites.push(site);
  } else nodes.set(id, { id, kind, label: name, aliases: [], sites: [site], since: iso(since), attributes });
  return id;
};
const edge = (site, from, kind, to, attributes = {}, provenance = "observed") => {
  const id = `${from}|${kind}|${to}`;
  const since = iso(started - Math.floor(random() * 2 * 3600e3));
  if (!edges.has(id)) edges.set(id, { id, from, to, kind, sites: [site], since, provenance, attributes });
};

function build() {
  const programs = ["nginx", "checkout", "payments", "postgres", "redis", "inventory", "mailer", "search"];
  for (const [n, site] of sites.entries()) {
    const agent = node(site, "agent", site, { "service.name": "holm", "holm.site": site });
    const services = programs.slice(0, 5 + n).map((p) =>
      node(site, "service", `${p}.${site}`, { "process.executable.name": p, "process.command_line": `/usr/bin/${p} --site ${site}`, "network.transport": "tcp" }));
    for (const [from, to] of [[0, 1], [1, 2], [1, 3], [1, 4], [2, 3], [0, 5], [5, 3]]) {
      if (services[from] && services[to])
        edge(site, services[from], "flow", services[to], { "holm.direction": "outbound", "process.executable.name": programs[from], "process.command_line": `/usr/bin/${programs[from]} --site ${site}`, "server.port": String(5432 + to) });
    }
    const gateway = node(site, "device", `gw1.${site}`, { "device.model": "edge router" });
    edge(site, gateway, "device", agent);
    for (let h = 0; h < 4; h++) {
      const host = node(site, "host", `198.51.100.${n * 20 + h}`, {});
      edge(site, services[0], "flow", host, { "holm.direction": "inbound", "process.executable.name": "nginx", "server.port": "443" });
    }
    for (const other of sites) {
      if (other === site) continue;
      const hop1 = node(site, "hop", `203.0.113.${n * 10 + 1}`, {});
      edge(site, agent, "path", hop1);
      const hop2 = node(other, "hop", `203.0.113.${sites.indexOf(other) * 10 + 1}`, {});
      edge(site, hop1, "path", hop2, {}, "inferred");
    }
    edge(site, agent, "path", node(site, "host", "192.0.2.80", {}), { "holm.probe": "http" });
  }
  node("berlin", "prefix", "198.51.100.0/24");
  node("berlin", "as", "64500");
  edge("berlin", "as:64500", "routing", "prefix:198.51.100.0/24");
  edge("berlin", "device:gw1.berlin", "routing", "as:64500");
  for (let i = 0; nodes.size < large; i++) {
    const site = sites[i % sites.length];
    const id = node(site, pick(["host", "host", "host", "service", "hop"]), `bulk-${i}`, {});
    const hub = `service:${pick(programs.slice(0, 5))}.${site}`;
    edge(site, id, "flow", i > 300 && random() < 0.7 ? [...lastHubs][i % lastHubs.length] : hub, {});
    if (i % 40 === 0) lastHubs.push(id);
  }
}
const lastHubs = ["service:nginx.berlin", "service:nginx.tokyo", "service:nginx.saopaulo"];
build();

const age = (site) => {
  const now = Date.now();
  if (site === "berlin") return { state: "here", as_of: iso(now), last_heard: iso(now) };
  if (cutOff) {
    const at = started - (site === "tokyo" ? 42_000 : 44_000);
    return { state: site === "tokyo" ? "stale" : "unreachable", as_of: iso(at), last_heard: iso(at) };
  }
  return { state: "live", as_of: iso(now - 1500), last_heard: iso(now - 400) };
};

const svid = { state: "valid", not_after: iso(started + 6.4 * 86400e3), renew_at: iso(started + 2.9 * 86400e3) };
const mesh = fakeMesh(meshSites, { mode, started });
const me = () => ({ tenant: "FAKE (dev)", role: "admin", site: "berlin", node: "berlin-1", spiffe_id: "spiffe://fake.example/site/berlin/node/berlin-1", trust_domain: "fake.example", version: "0.0.0-fake", svid });

function sitesView() {
  return {
    mesh_running: true, replicating: !off, replicating_reason: off ? "this node's SVID expired at 2026-11-20T11:02:51.000Z; re-enrol it with `holm join TOKEN`" : null, self_site: "berlin",
    cut_off: cutOff ? { since: iso(started - 41_000), unheard: sites.slice(1).map((site) => ({ site, last_heard: age(site).last_heard })), heard: [] } : null,
    items: sites.map((site, n) => ({
      site, is_self: n === 0, ...age(site),
      nodes: [{ node: `${site}-1`, spiffe_id: `spiffe://fake.example/site/${site}/node/${site}-1`, peer_id: `12D3KooWfake${n}aTq9vYpH2`, addresses: [`/ip4/127.0.0.1/udp/${7000 + n}/quic-v1`],
        api_url: `https://127.0.0.1:${8000 + n}`, state: n === 0 ? "self" : cutOff ? (n === 1 ? "suspect" : "down") : "alive", connected: n > 0 && !cutOff, rtt_ms: n === 0 || cutOff ? null : 1.3 + 97 * n,
        clock_skew_ms: n === 0 ? 0 : cutOff ? null : n === 1 ? 12 : -1840, svid_not_after: iso(started + (6.4 - n * 3.1) * 86400e3), last_refusal: n === 2 ? "the peer's SVID expired 2026-11-19T08:11:02.000Z" : null }],
      elements: { nodes: [...nodes.values()].filter((e) => e.sites.includes(site)).length, edges: [...edges.values()].filter((e) => e.sites.includes(site)).length },
    })),
    conflicts: off ? ["spiffe://fake.example/site/tokyo/node/tokyo-1 was seen with two keys; the second is refused"] : [],
    counters: { hints_sent: 4121, hints_dropped: 0, reconciliations: 318, changes_applied: 902, changes_quarantined: 0, handshakes_refused: 3 },
  };
}

const planes = () => ({ items: [
  off ? { plane: "active", state: "off", reason: "the configuration names no target and no site", remedy: "add [planes.active] targets to holm.toml, or join another site", method: "", since: iso(started), counters: {} }
      : { plane: "active", state: "running", reason: "", remedy: "", method: "icmp datagram sockets, tcp, http, dns", since: iso(started), counters: { probes_sent: 8123, probes_failed: 212, results_dropped: 0 } },
  off ? { plane: "host", state: "off", reason: "no privilege to load kernel programs, and /proc is not readable", remedy: "run as root or give the binary CAP_BPF and CAP_PERFMON", method: "", since: iso(started), counters: {} }
      : { plane: "host", state: "degraded", reason: "kernel programs may not be loaded: EPERM", remedy: "run as root or give the binary CAP_BPF and CAP_PERFMON", method: "sock_diag, every 2 s", since: iso(started), counters: { connections_seen: 18231, events_dropped: 4, processes_unknown: 12 } },
] });

function results() {
  const items = [];
  const now = Date.now();
  for (const site of off ? [] : sites) {
    if (cutOff && site !== "berlin") continue;
    for (const other of sites) {
      if (other === site) continue;
      const ok = !(site === "saopaulo" && other === "tokyo") && !cutOff;
      items.push({ site, probe: "icmp", target: other, success: ok, error: ok ? null : "no answer within 2 s", duration_ms: ok ? 2 + 110 * random() : 2000, metrics: ok ? { rtt_ms: 2 + 110 * random(), loss: 0 } : { loss: 1 }, attributes: { "peer.site": other }, observed_at: iso(now - 3000) });
    }
    items.push({ site, probe: "http", target: "https://shop.example/health", success: site !== "tokyo", error: site === "tokyo" ? "HTTP status 503, expected 200" : null, duration_ms: 40 + 90 * random(), metrics: { dns_ms: 1.2, connect_ms: 18.2, tls_ms: 21.4, first_byte_ms: 39.1 }, attributes: { "tls.protocol.version": "1.3", "tls.server.not_after": "2027-02-01T00:00:00Z" }, observed_at: iso(now - 8000) });
    items.push({ site, probe: "dns", target: "shop.example", success: true, error: null, duration_ms: 4.1, metrics: { answers: 2 }, attributes: {}, observed_at: iso(now - 6000) });
    items.push({ site, probe: "tcp", target: "192.0.2.80:5432", success: site !== "berlin", error: site === "berlin" ? "connection refused" : null, duration_ms: 3.3, metrics: {}, attributes: {}, observed_at: iso(now - 5000) });
  }
  return { collector_running: !off, items };
}

const earliest = started - 3 * 3600e3;
function topology(query) {
  const at = query.get("at") ? Date.parse(query.get("at")) : null;
  if (at !== null && Number.isNaN(at)) return null;
  const site = query.get("site");
  const open = (e) => (at === null || Date.parse(e.since) <= at) && (!site || e.sites.includes(site));
  const n = [...nodes.values()].filter(open);
  const ids = new Set(n.map((e) => e.id));
  const e = [...edges.values()].filter((x) => open(x) && ids.has(x.from) && ids.has(x.to));
  const count = (kind) => e.filter((x) => x.kind === kind).length;
  return {
    at: iso(at ?? Date.now()), live: at === null, topology_running: !off, generation, graph_digest: createHash("sha256").update(String(generation)).digest("hex"), nodes: off ? [] : n, edges: off ? [] : e,
    shown: { nodes: n.length, edges: e.length }, total: { nodes: nodes.size, edges: edges.size },
    coverage: { path_edges: count("path"), flow_edges: count("flow"), flow_paths: 0, routing_edges: count("routing"), device_edges: count("device"), notes: ["no plane watches routing at tokyo", "the host plane at berlin is degraded: connections shorter than 2 s may be missed"] },
    freshness: { sites: sites.map((s) => ({ site: s, as_of: age(s).as_of, state: age(s).state })), unreachable: cutOff ? ["saopaulo"] : [] }, earliest: iso(earliest), diff: null,
  };
}

function element(id) {
  const it = nodes.get(id) ?? edges.get(id);
  if (!it) return null;
  const neighbours = [...edges.values()].filter((e) => e.from === id || e.to === id).map((e) => ({ id: e.from === id ? e.to : e.from, edge: e.id, direction: e.from === id ? "out" : "in" }));
  const since = Date.parse(it.since);
  return { id, kind: it.kind, label: it.label ?? id, from: it.from ?? null, to: it.to ?? null, neighbours,
    sites: it.sites.map((site, n) => ({ site, intervals: [{ from: iso(since + n * 60e3), to: iso(since + (Date.now() - since) * 0.4) }, { from: iso(since + (Date.now() - since) * 0.5), to: null }], attributes: it.attributes })) };
}

const questions = fakeQuestions({ nodes, edges, sites, iso, freshness: () => topology(new URLSearchParams()).freshness, coverage: () => topology(new URLSearchParams()).coverage });
const body = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString() || "{}");
};

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const csp = "default-src 'self'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:";

createServer(async (request, response) => {
  const url = new URL(request.url ?? "/", "http://fake");
  const requestId = randomUUID();
  const json = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  const fail = (status, code, message) => json(status, { error: { code, message, request_id: requestId } });
  if (url.pathname === "/login") return response.writeHead(303, { "set-cookie": "fake=1; Path=/; HttpOnly; SameSite=Strict", location: "/" }).end();
  if (url.pathname.startsWith("/v1/")) {
    if (!request.headers.cookie?.includes("fake=1")) return fail(401, "unauthenticated", "no session");
    switch (url.pathname) {
      case "/v1/me": return json(200, me());
      case "/v1/sites": return json(200, sitesView());
      case "/v1/planes": return json(200, planes());
      case "/v1/results/latest": return json(200, results());
      case "/v1/mesh": return json(200, mesh(Date.now()));
      case "/v1/mesh/digest": return json(200, { digest: createHash("sha256").update(`d${generation}`).digest("hex"), documents: 12 });
      case "/v1/topology": { const body = topology(url.searchParams); return body ? json(200, body) : fail(400, "invalid_argument", "at is not an RFC 3339 time"); }
      case "/v1/topology/element": { const body = element(url.searchParams.get("id") ?? ""); return body ? json(200, body) : fail(404, "not_found", "no such element"); }
      case "/v1/stream": {
        response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
        response.write(": fake\n\n");
        streams.add(response);
        request.on("close", () => streams.delete(response));
        return;
      }
      default: {
        const answer = questions(url, request.method === "POST" ? await body(request) : null);
        return answer ? json(200, answer) : fail(404, "not_found", "no such path");
      }
    }
  }
  const path = normalize(url.pathname).replace(/^(\.\.[/\\])+/, "");
  const send = async (file) => response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "content-security-policy": csp }).end(await readFile(file));
  try {
    await send(extname(path) ? join(dist, path) : join(dist, "index.html"));
  } catch {
    fail(404, "not_found", "no such file; run npm run build");
  }
}).listen(port, "127.0.0.1", () => console.log(`FAKE node: http://127.0.0.1:${port}/login?code=fake`));

const tell = (event, data) => { for (const s of streams) s.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`); };
setInterval(() => tell("sites", {}), 2000);
setInterval(() => {
  if (!large) {
    const site = pick(cutOff ? ["berlin"] : sites);
    const id = node(site, "host", `198.51.100.${100 + (generation % 100)}`, {}, Date.now());
    edge(site, id, "flow", `service:nginx.${site}`, { "holm.direction": "inbound", "process.executable.name": "nginx", "server.port": "443" });
    edges.get(`${id}|flow|service:nginx.${site}`).since = iso(Date.now());
    if (generation % 3 === 0) { const old = [...nodes.keys()].find((k) => /^host:198\.51\.100\.1\d\d$/.test(k)); if (old) { nodes.delete(old); for (const [k, e] of edges) if (e.from === old || e.to === old) edges.delete(k); } }
  }
  generation += 1;
  tell("topology", { generation });
  tell("results", {});
}, 5000);
setInterval(() => { for (const s of streams) s.write(": keep-alive\n\n"); }, 15000);

// Routes: one a room, each one level deep (see vite.config.ts), each loaded when it is first opened.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link } from "@tanstack/react-router";

import { Failure, Nothing, Waiting } from "../parts/basics";
import { parseSearch, type Search } from "./search";
import { Shell } from "./Shell";

const root = createRootRoute({
  component: Shell,
  validateSearch: (raw: Record<string, unknown>): Search => parseSearch(raw),
  notFoundComponent: () => <div className="room"><Nothing title="No such room">Go to the <Link to="/">overview</Link>.</Nothing></div>,
  errorComponent: ({ error, reset }) => <div className="room"><Failure error={error} again={reset} /></div>,
});

const overview = createRoute({ getParentRoute: () => root, path: "/", component: lazyRouteComponent(() => import("../rooms/overview/Overview"), "Overview") });
const topology = createRoute({ getParentRoute: () => root, path: "/topology", component: lazyRouteComponent(() => import("../rooms/topology/TopologyRoom"), "TopologyRoom") });
const incidents = createRoute({ getParentRoute: () => root, path: "/incidents", component: lazyRouteComponent(() => import("../rooms/incidents/Incidents"), "Incidents") });
const paging = createRoute({ getParentRoute: () => root, path: "/paging", component: lazyRouteComponent(() => import("../rooms/pages/Paging"), "Paging") });
const slos = createRoute({ getParentRoute: () => root, path: "/slos", component: lazyRouteComponent(() => import("../rooms/slos/Slos"), "Slos") });
const alerts = createRoute({ getParentRoute: () => root, path: "/alerts", component: lazyRouteComponent(() => import("../rooms/alerts/Alerts"), "Alerts") });
const changes = createRoute({ getParentRoute: () => root, path: "/changes", component: lazyRouteComponent(() => import("../rooms/changes/Changes"), "Changes") });
const tests = createRoute({ getParentRoute: () => root, path: "/tests", component: lazyRouteComponent(() => import("../rooms/tests/Tests"), "Tests") });
const flows = createRoute({ getParentRoute: () => root, path: "/flows", component: lazyRouteComponent(() => import("../rooms/flows/Flows"), "Flows") });
const hosts = createRoute({ getParentRoute: () => root, path: "/hosts", component: lazyRouteComponent(() => import("../rooms/hosts/Hosts"), "Hosts") });
const endpoints = createRoute({ getParentRoute: () => root, path: "/endpoints", component: lazyRouteComponent(() => import("../rooms/endpoints/Endpoints"), "Endpoints") });
const mesh = createRoute({ getParentRoute: () => root, path: "/mesh", component: lazyRouteComponent(() => import("../rooms/mesh/Mesh"), "Mesh") });
const ask = createRoute({ getParentRoute: () => root, path: "/query", component: lazyRouteComponent(() => import("../rooms/ask/Ask"), "Ask") });
const settings = createRoute({ getParentRoute: () => root, path: "/settings", component: lazyRouteComponent(() => import("../rooms/settings/Settings"), "Settings") });

export const router = createRouter({
  routeTree: root.addChildren([overview, topology, incidents, paging, slos, alerts, changes, tests, flows, hosts, endpoints, mesh, ask, settings]),
  defaultPreload: "intent",
  defaultPendingComponent: () => <div className="room"><Waiting rows={6} /></div>,
  defaultErrorComponent: ({ error, reset }) => <div className="room"><Failure error={error} again={reset} /></div>,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

import { describe, expect, it } from "vitest";

import type { PageConnector, PageRoute } from "../../api/types";
import { askedOf, connectorLook, draftOf, lengthOf, lengthText, listed, placeText, PROVIDERS, routeAskedOf, routeDraftOf, safeUrl, statesText, takesText } from "./pages";

const edited = { by: "ada at berlin/n1", at: "2026-11-22T07:00:00.000Z", removed: false };
const connector: PageConnector = {
  name: "mail", provider: "email", url: "smtp://mail.example.org:587", secret_set: true, inbound_secret_set: false, inbound_path: null, user: "holm", from: "holm@example.org",
  to: ["ada@example.org", "bob@example.org"], tls: "starttls", channel: null, project: null, issue_type: null, done: null, api: null, ca: null, sites: ["berlin"], paused: false,
  attempts_an_hour: 1200, pages_a_minute: 30, give_up_after_h: 24, problem: null, queued: 0, dead: 0, down_until: null, last_failure: null, last_failure_at: null, last_delivered_at: null, edited, conflicts: [],
};
const route: PageRoute = {
  name: "slow", severity: "warning", sites: ["berlin"], targets: ["service:*"], planes: [], kinds: [], connectors: ["mail"], resolve: true, after_s: 300, repeat_s: 3600, paused: false, problem: null, edited, conflicts: [],
};

describe("a connector's form", () => {
  it("asks for what it was, without secrets, unless they are given anew", () => {
    const asked = askedOf(draftOf(connector));
    expect(asked).toEqual({
      provider: "email", url: "smtp://mail.example.org:587", from: "holm@example.org", user: "holm", to: ["ada@example.org", "bob@example.org"], tls: "starttls", sites: ["berlin"], paused: false,
      pages_a_minute: 30, attempts_an_hour: 1200, give_up_after_h: 24,
    });
    expect("secret" in asked || "inbound_secret" in asked).toBe(false);
    expect(askedOf({ ...draftOf(connector), secret: "x" }).secret).toBe("x");
  });
  it("asks only for what the provider has", () => {
    const draft = { ...draftOf(connector), provider: "teams" as const, secret: "https://flow.example", inbound: "a long enough secret" };
    expect(askedOf(draft)).toEqual({ provider: "teams", secret: "https://flow.example", inbound_secret: "a long enough secret", sites: ["berlin"], paused: false, pages_a_minute: 30, attempts_an_hour: 1200, give_up_after_h: 24 });
    expect(askedOf({ ...draftOf(undefined), texts: { url: " ", project: "OPS" } })).toEqual({ provider: "pagerduty", sites: [], paused: false });
    expect(askedOf({ ...draft, provider: "email" }).inbound_secret).toBeUndefined();
  });
  it("knows every provider, and where it leads", () => {
    expect(Object.keys(PROVIDERS)).toHaveLength(8);
    expect(placeText(connector)).toBe("smtp://mail.example.org:587 · ada@example.org · bob@example.org");
    expect(listed(" a, b\n c,,")).toEqual(["a", "b", "c"]);
  });
  it("shows how a connector stands, the worst first", () => {
    expect(connectorLook(connector).word).toBe("good");
    expect(connectorLook({ ...connector, dead: 1 }).word).toBe("dead letters");
    expect(connectorLook({ ...connector, dead: 1, down_until: "2026-11-22T07:00:00.000Z" }).word).toBe("down");
    expect(connectorLook({ ...connector, problem: "none is heard", down_until: "x" }).tone).toBe("bad");
    expect(connectorLook({ ...connector, problem: "it is paused", paused: true }).word).toBe("paused");
    expect(connectorLook({ ...connector, conflicts: [edited] }).word).toBe("disputed");
  });
});

describe("a route's form", () => {
  it("asks for what it was", () => {
    expect(routeAskedOf(routeDraftOf(route))).toEqual({
      severity: "warning", connectors: ["mail"], sites: ["berlin"], targets: ["service:*"], planes: [], kinds: [], resolve: true, after_s: 300, repeat_s: 3600, paused: false,
    });
    expect(takesText(route)).toBe("warning and graver, at berlin, about service:*");
  });
  it("says what is not right yet", () => {
    expect(routeAskedOf(routeDraftOf(undefined))).toBe("Choose a connector");
    expect(routeAskedOf({ ...routeDraftOf(route), after: "soon" })).toBe("After: write 90s, 5m, 2h or 1d");
    expect(routeAskedOf({ ...routeDraftOf(route), repeat: "-5m" })).toBe("Again after: write 90s, 5m, 2h or 1d");
  });
  it("reads and writes lengths of time", () => {
    expect([0, 90, 300, 7200, 86_400].map(lengthText)).toEqual(["0s", "90s", "5m", "2h", "1d"]);
    expect(["90", "90s", "5m", "2h", "1 d", "x", "1.5h"].map(lengthOf)).toEqual([90, 90, 300, 7200, 86_400, null, null]);
  });
});

it("counts what waits and what was given up", () => {
  expect(statesText({ delivered: 3, queued: 0, dead: 0 })).toBe("3 messages");
  expect(statesText({ delivered: 3, queued: 2, dead: 1 })).toBe("6 messages, 2 queued, 1 dead letter");
});

it("follows no address that a browser would run", () => {
  expect(safeUrl("https://acme.atlassian.net/browse/OPS-1")).toBe("https://acme.atlassian.net/browse/OPS-1");
  expect([safeUrl("javascript:alert(1)"), safeUrl("data:text/html,x"), safeUrl(null)]).toEqual([undefined, undefined, undefined]);
});

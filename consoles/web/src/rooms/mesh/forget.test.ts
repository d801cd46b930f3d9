import { describe, expect, it } from "vitest";

import { mayForget } from "./Forget";

const at = "2026-11-21T03:00:00.000Z";

describe("mayForget", () => {
  const member = (site: string, state: "alive" | "down", connected = false) => ({
    site, node: "n1", state, connected, connected_since: null, last_heard: at, rtt_ms: 3, clock_skew_ms: 0, clock: null, addresses: [], via: null, last_refusal: null, lease_signed: true, last_sync: null,
  });
  const lag = (site: string, state: "here" | "live" | "unreachable" | "never_heard") => ({ site, state, as_of: null, lag_ms: null });
  const view = {
    site: "a", members: [member("b", "down"), member("c", "alive"), member("d", "down"), member("d", "alive")],
    lag_due_ms: 0, lags: [lag("a", "here"), lag("b", "unreachable"), lag("c", "unreachable"), lag("d", "unreachable"), lag("e", "never_heard"), lag("f", "live")],
  };

  it("lets go of what is down and of nothing else", () => {
    expect(["a", "b", "c", "d", "e", "f", "g"].filter((site) => mayForget(view, site))).toEqual(["b", "e"]);
  });
});

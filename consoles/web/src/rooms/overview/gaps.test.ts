import { expect, it } from "vitest";

import { notWatched } from "./gaps";

it("names the plane that is off with its remedy, and passes over one that runs", () => {
  const base = { reason: "no privilege", remedy: "run as root", method: "", since: "", counters: {} };
  const gaps = notWatched(undefined, { items: [{ ...base, plane: "host", state: "off" }, { ...base, plane: "active", state: "running" }] }, undefined);
  expect(gaps).toEqual([{ kind: "plane", state: "off", text: "the host plane here is off: no privilege", remedy: "run as root" }]);
});

// Questions to the topology: what would break most, what is found, what changed.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";
import type { Diff, Found, Ranking, SideBySide, Topology } from "../src/api/types";
import type { Page } from "@playwright/test";

const node = firstNode();
test.use({ storageState: node.session });

async function ask<T>(page: Page, path: string): Promise<T> {
  const response = await page.request.get(node.origin + path);
  expect(response.ok(), path).toBe(true);
  return (await response.json()) as T;
}

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme });

    test("the ranking says what would break most, and shows it in the picture", async ({ page }) => {
      await open(page, node.origin, "/topology", "Topology");
      await page.keyboard.press("b");
      const side = page.getByRole("complementary", { name: "What would break most" });
      const worst = side.getByRole("listitem").first();
      await expect(worst).toBeVisible();
      const ranking = await ask<Ranking>(page, "/v1/topology/spof?limit=100");
      expect(ranking.total, "something in a mesh of services breaks something").toBeGreaterThan(0);
      await expect(side).toContainText(/that break something alone/);
      // From the keyboard: one stop, arrows within.
      await worst.getByRole("button").focus();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowUp");
      await page.keyboard.press("Enter");
      await expect(page).toHaveURL(/fail=/);
      // Wherever it stands by now: the mesh goes on observing.
      await expect(side.getByRole("button", { pressed: true })).toHaveCount(1);
      const strip = page.getByRole("status").filter({ hasText: "fails" });
      await expect(strip).toContainText(/break|another way|call|cut off|behind/);
      await expectAccessible(page);
      await screenshot(page, "ranking", theme);
      await strip.getByRole("button", { name: "Lists" }).click();
      await expect(page.getByRole("complementary", { name: "Element" }).getByRole("region", { name: "If this fails" })).toBeVisible();
      await screenshot(page, "ranking-lists", theme);
      for (let n = 0; n < 3; n++) await page.keyboard.press("Escape");
      await expect(side).toHaveCount(0);
      expect(new URL(page.url()).search).toBe("");
    });

    test("what changed is told by class, drawn, listed and exported", async ({ page }) => {
      const topology = await ask<Topology>(page, "/v1/topology");
      const [ghost, gone, again, other] = topology.nodes.filter((each) => each.kind === "host" || each.kind === "hop" || each.kind === "service");
      const line = topology.edges.find((each) => each.from === ghost?.id || each.to === ghost?.id);
      if (!ghost || !gone || !again || !other || !topology.earliest) throw new Error("a mesh that runs has observed more than this");
      // The node's own picture, of which the later moment misses an element that the earlier one has.
      const missing = new Set([ghost.id]);
      const later = { ...topology, nodes: topology.nodes.filter((each) => !missing.has(each.id)), edges: topology.edges.filter((each) => !missing.has(each.from) && !missing.has(each.to)) };
      const from = topology.earliest;
      await page.route(/\/v1\/topology(\?|$)/, (route) => route.fulfill({ json: new URL(route.request().url()).searchParams.has("at") ? topology : later }));
      const list = (items: unknown[]) => ({ items, total: items.length });
      await page.route(/\/v1\/topology\/diff/, (route) => route.fulfill({ json: {
        from, to: topology.at, freshness: topology.freshness, appeared: list([gone.id]), vanished: list([ghost.id, ...(line ? [line.id] : [])]), returned: list([again.id]), unknown: list([]),
        changed: list([{ id: other.id, attributes: [{ key: "server.port", before: "8080", after: "8443" }] }]),
      } }));
      await open(page, node.origin, `/topology?diff=${encodeURIComponent(from)}`, "Topology");
      const side = page.getByRole("complementary", { name: "What changed" });
      await expect(side.getByRole("button", { name: /vanished/ }).first()).toContainText(line ? "2" : "1");
      await expect(side.getByText("server.port: 8080 → 8443")).toBeVisible();
      await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false");
      await expect(page.getByRole("application", { name: new RegExp(`^Graph of ${topology.nodes.length} nodes`) }), "the ghost is drawn too").toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "changes", theme);
      await side.getByRole("group", { name: "Kinds of change" }).getByRole("button", { name: /vanished/ }).click();
      await expect(side.getByText("server.port: 8080 → 8443")).toHaveCount(0);
      await side.getByRole("list", { name: "Changed elements" }).getByRole("button").first().click();
      await expect(page).toHaveURL(/el=/);
      await page.keyboard.press("t");
      await expect(page.getByRole("table", { name: "Elements" }).getByRole("columnheader", { name: /Change/ })).toBeVisible();
      await screenshot(page, "changes-table", theme);
    });
  });
}

for (const theme of THEMES) {
  test(`two failures stand side by side (${theme})`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme });
    const ranking = await ask<Ranking>(page, "/v1/topology/spof?limit=100");
    const [a, b] = ranking.items;
    if (!a || !b) throw new Error("two nodes of a mesh that runs break something");
    await open(page, node.origin, `/topology?el=${encodeURIComponent(a.id)}&fail=${encodeURIComponent(a.id)}`, "Topology");
    await page.getByRole("textbox", { name: "Compare with another failure" }).fill(b.id);
    await page.keyboard.press("Enter");
    const side = page.getByRole("complementary", { name: "Two failures" });
    await expect(side.getByRole("table")).toBeVisible();
    const told = await page.request.post(`${node.origin}/v1/topology/whatif/compare`, { data: { left: { target: a.id }, right: { target: b.id } }, headers: { origin: node.origin } });
    const answer = (await told.json()) as SideBySide;
    for (const [part, name] of [["only_left", "only A"], ["both", "both"], ["only_right", "only B"]] as const) {
      for (const [list, title] of [["broken_paths", "Paths that break"], ["impacted_services", "Services that need it"]] as const) {
        const n = answer[list][part].length;
        if (n > 0) await expect(side.getByRole("button", { name: `${title}, ${name}: ${n}` })).toBeVisible();
      }
    }
    await expect(side.getByRole("listitem").first()).toBeVisible();
    await expectAccessible(page);
    await page.keyboard.press("Escape");
    await expect(page.getByRole("complementary", { name: "Element" })).toHaveCount(0);
    await expect(page.getByText(`or ${b.id} fails`)).toBeVisible();
    await screenshot(page, "two-failures", theme);
    await page.keyboard.press("Escape");
    await expect(side).toHaveCount(0);
    await expect(page).toHaveURL(/fail=/);
  });
}

test("two thumbs choose two moments, and what the node says changed is counted", async ({ page }) => {
  await open(page, node.origin, "/topology", "Topology");
  await page.keyboard.press("c");
  await expect(page).toHaveURL(/diff=/);
  const side = page.getByRole("complementary", { name: "What changed" });
  await expect(side).toBeVisible();
  const earlier = page.getByRole("slider", { name: "Compared with" });
  await earlier.focus();
  await page.keyboard.press("Home");
  const { earliest } = await ask<Topology>(page, "/v1/topology");
  await expect.poll(() => new URL(page.url()).searchParams.get("diff")?.slice(0, 19)).toBe(earliest?.slice(0, 19));
  const diff = await ask<Diff>(page, `/v1/topology/diff?from=${encodeURIComponent(new URL(page.url()).searchParams.get("diff") ?? "")}`);
  expect(diff.appeared.total, "everything appeared since the first moment").toBeGreaterThan(0);
  await expect(side.getByRole("list", { name: "Changed elements" }).getByRole("listitem").first()).toBeVisible();
  await page.getByRole("button", { name: "Stop comparing" }).click();
  await expect(side).toHaveCount(0);
});

test("search asks the node: an attribute finds what no name on the page does, and the ranking is an action", async ({ page }) => {
  await open(page, node.origin, "/topology", "Topology");
  const topology = await ask<Topology>(page, "/v1/topology");
  const texts = (each: Topology["nodes"][number]) => Object.values(each.attributes).filter((value) => typeof value === "string").filter((value) => value.length > 5 && !each.id.includes(value));
  const value = topology.nodes.flatMap(texts)[0] ?? "";
  expect(value, "an attribute that is no name").not.toBe("");
  const answer = await ask<Found>(page, `/v1/topology/search?q=${encodeURIComponent(value)}&limit=20`);
  expect(answer.items.length).toBeGreaterThan(0);
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill(value);
  const first = page.getByRole("option").filter({ has: page.locator(".mono") }).first();
  await expect(first).toContainText((answer.items[0] ?? "").replace(/^[a-z]+:/, ""));
  await expectAccessible(page);
  await page.getByRole("combobox").fill("would break");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("complementary", { name: "What would break most" })).toBeVisible();
});

test("search says how many there are when it shows fewer", async ({ page }) => {
  const items = Array.from({ length: 20 }, (_, n) => `host:198.51.100.${n}`);
  await page.route(/\/v1\/topology\/search/, (route) => route.fulfill({ json: { items, total: 134 } }));
  await open(page, node.origin, "/topology", "Topology");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("198.51.100");
  await expect(page.getByText("Elements · showing 20 of 134")).toBeVisible();
});

test("what changed is that of the site that is chosen", async ({ page }) => {
  await open(page, node.origin, "/topology", "Topology");
  const { earliest, at } = await ask<Topology>(page, "/v1/topology");
  if (!earliest) throw new Error("a mesh that runs has observed something");
  const moments = `from=${encodeURIComponent(earliest)}&to=${encodeURIComponent(at)}`;
  const [all, here] = [await ask<Diff>(page, `/v1/topology/diff?${moments}`), await ask<Diff>(page, `/v1/topology/diff?${moments}&site=tokyo`)];
  expect(here.appeared.total, "one site sees less than all do").toBeLessThan(all.appeared.total);
  expect(here.appeared.total).toBeGreaterThan(0);
  await open(page, node.origin, `/topology?site=tokyo&diff=${encodeURIComponent(earliest)}&at=${encodeURIComponent(at)}`, "Topology");
  const side = page.getByRole("complementary", { name: "What changed" });
  await expect(side.getByRole("button", { name: /appeared/ }).first()).toContainText(String(here.appeared.total));
  await expect(side.getByRole("button", { name: /vanished/ }).first()).toContainText(String(here.vanished.total));
});

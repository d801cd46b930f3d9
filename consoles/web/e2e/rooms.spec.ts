// A story per room, in both themes: it shows what the node says, it is accessible, it is pictured.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";
import type { LatestResults, Planes, Sites, Topology } from "../src/api/types";
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

    test("overview names every site with its state and what is not watched", async ({ page }) => {
      await open(page, node.origin, "/", "Overview");
      const sites = await ask<Sites>(page, "/v1/sites");
      const section = page.getByRole("region", { name: "Sites" });
      for (const site of sites.items) await expect(section.getByRole("link", { name: new RegExp(site.site) })).toBeVisible();
      const planes = await ask<Planes>(page, "/v1/planes");
      for (const plane of planes.items.filter((each) => each.state !== "running")) {
        await expect(page.getByRole("region", { name: "Not watched" })).toContainText(plane.plane);
      }
      await expectAccessible(page);
      await screenshot(page, "overview", theme);
    });

    test("overview is usable on a phone", async ({ page }) => {
      await page.setViewportSize({ width: 390, height: 844 });
      await open(page, node.origin, "/", "Overview");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
      expect(wide, "nothing reaches past the edge").toBe(false);
      await expectAccessible(page);
      await screenshot(page, "overview-phone", theme);
    });

    test("topology draws the graph and shows the same as a table", async ({ page }) => {
      await open(page, node.origin, "/topology", "Topology");
      const graph = page.getByRole("application");
      await expect(graph).toBeVisible();
      await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false");
      await expectAccessible(page);
      await screenshot(page, "topology", theme);
      await page.keyboard.press("t");
      const table = page.getByRole("table", { name: "Elements" });
      await expect(table).toBeVisible();
      const topology = await ask<Topology>(page, "/v1/topology");
      expect(topology.nodes.length, "a mesh that runs has observed something").toBeGreaterThan(0);
      expect(Number(await table.getAttribute("aria-rowcount"))).toBeGreaterThan(1);
      await expectAccessible(page);
      await screenshot(page, "topology-table", theme);
    });

    test("an element shows its history by site and what hangs on it", async ({ page }) => {
      const topology = await ask<Topology>(page, "/v1/topology");
      const edge = topology.edges[0];
      expect(edge, "an edge to look at").toBeDefined();
      if (!edge) return;
      await open(page, node.origin, `/topology?el=${encodeURIComponent(edge.from)}`, "Topology");
      const panel = page.getByRole("complementary", { name: "Element" });
      await expect(panel.getByRole("heading", { name: "History by site" })).toBeVisible();
      await expect(panel).toContainText(edge.sites[0] ?? "");
      await expect(panel.getByRole("link", { name: edge.to, exact: true }).first()).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "element", theme);
    });

    test("what breaks if a service fails is told beside the picture", async ({ page }) => {
      const topology = await ask<Topology>(page, "/v1/topology");
      const call = topology.edges.find((edge) => edge.kind === "flow" && edge.from.startsWith("service:") && edge.to.startsWith("service:"));
      expect(call, "a service that calls another").toBeDefined();
      if (!call) return;
      await open(page, node.origin, `/topology?el=${encodeURIComponent(call.to)}`, "Topology");
      const panel = page.getByRole("complementary", { name: "Element" });
      await panel.getByRole("button", { name: "What breaks?" }).click();
      const answer = panel.getByRole("region", { name: "If this fails" });
      await expect(answer.getByRole("heading", { name: /Services that need it/ })).toBeVisible();
      await expect(answer.getByRole("link", { name: call.from, exact: true })).toBeVisible();
      await expect(page).toHaveURL(/fail=/);
      await expectAccessible(page);
      await screenshot(page, "what-breaks", theme);
      await answer.getByRole("button", { name: "Hide" }).click();
      await expect(answer.getByRole("heading", { name: /Services that need it/ })).toBeHidden();
    });

    test("mesh lists every node with its certificate", async ({ page }) => {
      await open(page, node.origin, "/mesh", "Mesh");
      const sites = await ask<Sites>(page, "/v1/sites");
      const table = page.getByRole("table", { name: "Nodes" });
      for (const site of sites.items) for (const each of site.nodes) await expect(table.getByTitle(each.spiffe_id ?? "every node is connected")).toBeVisible();
      const tenants = page.getByRole("table", { name: "Tenants" });
      for (const site of sites.items) await expect(tenants.getByRole("row", { name: new RegExp(site.site) })).toContainText("granted");
      await expectAccessible(page);
      await screenshot(page, "mesh", theme);
    });

    test("tests and paths shows the latest results or why there are none", async ({ page }) => {
      const planes = await ask<Planes>(page, "/v1/planes");
      const plane = planes.items.find((each) => each.plane === "active");
      test.skip(!plane, "this node has no active plane, so there is no such room");
      await open(page, node.origin, "/tests", "Tests & paths");
      const results = await ask<LatestResults>(page, "/v1/results/latest");
      if (plane?.state === "off") await expect(page.getByText(plane.reason).first()).toBeVisible();
      const [first] = results.items;
      if (first) await expect(page.getByRole("table", { name: "Latest results" }).getByText(first.target, { exact: true }).first()).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "tests", theme);
    });

    test("hosts shows the service map or why there is none", async ({ page }) => {
      const planes = await ask<Planes>(page, "/v1/planes");
      const plane = planes.items.find((each) => each.plane === "host");
      test.skip(!plane, "this node has no host plane, so there is no such room");
      await open(page, node.origin, "/hosts", "Hosts");
      if (plane?.state === "off") await expect(page.getByText(plane.reason).first()).toBeVisible();
      else await expect(page.getByRole("table", { name: "Connections" })).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "hosts", theme);
    });

    test("settings says of every plane whether it observes, and why not", async ({ page }) => {
      await open(page, node.origin, "/settings", "Settings");
      const planes = await ask<Planes>(page, "/v1/planes");
      for (const plane of planes.items) {
        const card = page.getByRole("article", { name: `${plane.plane} plane` });
        await expect(card).toContainText(plane.state);
        if (plane.state !== "running") await expect(card).toContainText(plane.reason);
      }
      await expectAccessible(page);
      await screenshot(page, "settings", theme);
    });
  });
}

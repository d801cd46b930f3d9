// The mesh room: it shows what the node says, a site that stops gets a verdict, and loses it when it is back.
import { readdirSync, readFileSync } from "node:fs";

import { expect, expectAccessible, firstNode, nodes, open, screenshot, test, THEMES } from "./mesh";
import type { MeshView } from "../src/api/types";
import type { Page } from "@playwright/test";

const node = firstNode();
test.use({ storageState: node.session });

async function ask(page: Page): Promise<MeshView> {
  const response = await page.request.get(`${node.origin}/v1/mesh`);
  expect(response.ok()).toBe(true);
  return (await response.json()) as MeshView;
}

for (const theme of THEMES) {
  test(`every site is drawn with its lag, and the matrix, documents and traffic say what the node says (${theme})`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme });
    await open(page, node.origin, "/mesh", "Mesh");
    const view = await ask(page);
    const picture = page.getByRole("group", { name: /^The mesh drawn/ });
    for (const { site } of view.lags) await expect(picture.getByRole("button", { name: new RegExp(`^${site}:`) })).toBeVisible();
    await expect(picture.getByRole("button", { name: new RegExp(`^${view.site}: this node's own site`) })).toBeVisible();
    const legend = page.getByLabel("Lag", { exact: true });
    for (const range of ["under 2 s", "2 to 10 s", "10 to 60 s", "1 min and more", "never heard"]) await expect(legend).toContainText(range);

    const matrix = page.getByRole("region", { name: "Who reaches whom" }).getByRole("table");
    await expect(matrix.getByRole("row")).toHaveCount(view.lags.length + 1);
    for (const { site } of view.lags) await expect(matrix.getByRole("rowheader", { name: site })).toBeVisible();

    await expect(page.getByRole("region", { name: "Documents" })).toContainText("digest");
    for (const document of view.documents.items) await expect(page.getByRole("table", { name: "Documents" }).getByText(document.name, { exact: true })).toBeAttached();
    const traffic = page.getByRole("table", { name: "Traffic by channel" });
    for (const { channel } of view.channels) await expect(traffic.getByRole("cell", { name: channel, exact: true })).toBeVisible();
    // A rate takes two answers; nobody touches the page meanwhile.
    await expect(page.getByRole("region", { name: "Traffic by channel" })).toContainText(/over the last \d+ s/);
    for (const name of ["Drops by reason", "Seeds", "Refusals"]) await expect(page.getByRole("table", { name })).toBeAttached();
    await expectAccessible(page);
    await screenshot(page, "mesh-drawn", theme);
  });
}

test("sites are reached by keys; one that is selected stands in the address and says who reaches it", async ({ page }) => {
  await open(page, node.origin, "/mesh", "Mesh");
  const picture = page.getByRole("group", { name: /^The mesh drawn/ });
  await picture.getByRole("button", { name: new RegExp(`^${node.site}:`) }).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/focus=/);
  const site = new URL(page.url()).searchParams.get("focus") ?? "";
  expect(site).not.toBe(node.site);
  const side = page.getByRole("complementary", { name: `Site ${site}` });
  await expect(side).toContainText("Reached by");
  await expect(side.getByRole("button", { name: node.site, exact: true }).first()).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(side).toHaveCount(0);
  expect(new URL(page.url()).searchParams.get("focus")).toBeNull();
});

test("the room is usable on a phone", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page, node.origin, "/mesh", "Mesh");
  await expect(page.getByRole("group", { name: /^The mesh drawn/ })).toBeVisible();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  expect(wide, "nothing reaches past the edge").toBe(false);
  await expectAccessible(page);
  await screenshot(page, "mesh-phone", "dark");
});

test("an answer that is not renewed is marked as old, and no longer once the node answers", async ({ page }) => {
  await open(page, node.origin, "/mesh", "Mesh");
  await page.route("**/v1/mesh", (route) => route.abort());
  const note = page.getByRole("note").filter({ hasText: "No newer answer" });
  await expect(note).toBeVisible({ timeout: 30_000 });
  await expect(page.locator(".mesh-place.old")).toBeVisible();
  await expect(page.getByRole("group", { name: /^The mesh drawn/ }), "the last picture stays").toBeVisible();
  await expectAccessible(page);
  await page.unroute("**/v1/mesh");
  await expect(note).toHaveCount(0, { timeout: 30_000 });
});

/** The process of a site of the demo, by the folder that it was started with. */
function processOf(folder: string): number {
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
      if (words.includes("up") && words.includes(folder)) return Number(entry);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`no node runs with the folder ${folder}`);
}

test("a site that stops is called down by those that tried it, and no longer when it is back", async ({ page }) => {
  const dir = process.env["HOLM_DEMO_DIR"];
  test.skip(!dir, "HOLM_DEMO_DIR is not set: no site can be stopped");
  test.skip(nodes().length < 3, "it takes three sites to tell a site from a way");
  test.setTimeout(240_000);
  const site = "tokyo";
  const process_ = processOf(`${dir ?? ""}/${site}`);
  await open(page, node.origin, "/mesh", "Mesh");
  await expect(page.getByText("No site and no way is seen down")).toBeVisible({ timeout: 60_000 });
  process.kill(process_, "SIGSTOP");
  try {
    const verdict = page.getByRole("article", { name: `site down: ${site}` });
    await expect(verdict).toBeVisible({ timeout: 90_000 });
    await expect(verdict).toContainText("seen from");
    for (const other of nodes().filter((each) => each.site !== site)) await expect(verdict).toContainText(other.site);
    await expect(verdict).toContainText("raised as a signal", { timeout: 60_000 });
    const picture = page.getByRole("group", { name: /^The mesh drawn/ });
    await expect(picture.getByRole("button", { name: new RegExp(`^${site}: unreachable, lag .*not reached by`) })).toBeVisible();
    await expect(page.getByRole("region", { name: "Who reaches whom" }).getByRole("cell", { name: "no", exact: true })).toHaveCount(nodes().length - 1);
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme });
      await expectAccessible(page);
      await screenshot(page, "mesh-site-down", theme);
    }
  } finally {
    process.kill(process_, "SIGCONT");
  }
  await expect(page.getByText("No site and no way is seen down")).toBeVisible({ timeout: 90_000 });
  await expect(page.getByRole("article", { name: /^site down/ })).toHaveCount(0);
});

// Fifty thousand elements: grouped at once, one by one when asked, and the page answers while they move.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";
import { large } from "./large";
import type { Topology } from "../src/api/types";
import type { Page } from "@playwright/test";

const node = firstNode();
test.use({ storageState: node.session });

/** Longer than this, a task of the main thread is felt. */
const FELT_MS = 250;

/** The node's own answer with its elements exchanged for 50,000 invented ones. No event renews it: size is what is looked at. */
async function fill(page: Page): Promise<Topology> {
  const response = await page.request.get(`${node.origin}/v1/topology`);
  const topology = large((await response.json()) as Topology);
  const body = JSON.stringify(topology);
  await page.route(/\/v1\/topology(\?|$)/, (route) => route.fulfill({ contentType: "application/json", body }));
  await page.route("**/v1/stream", (route) => route.abort());
  return topology;
}

/** Tasks of the main thread of `FELT_MS` and longer, from now on. */
async function watchLongTasks(page: Page): Promise<() => Promise<number[]>> {
  await page.evaluate((felt) => {
    const long: number[] = [];
    Object.assign(window, { long });
    new PerformanceObserver((list) => long.push(...list.getEntries().map((each) => each.duration).filter((ms) => ms >= felt))).observe({ type: "longtask" });
  }, FELT_MS);
  return () => page.evaluate(() => (window as unknown as { long: number[] }).long);
}

/** Clicks the first thing under the hand on its way over the picture. */
async function clickDisc(page: Page): Promise<void> {
  const box = await page.getByRole("application").boundingBox();
  if (!box) throw new Error("the picture has no place");
  for (let y = box.y + 20; y < box.y + box.height; y += 24) {
    for (let x = box.x + 20; x < box.x + box.width - 60; x += 24) {
      await page.mouse.move(x, y);
      if (await page.locator(".graph.over").count()) return page.mouse.click(x, y);
    }
  }
  throw new Error("nothing lies under the hand anywhere in the picture");
}

async function panAndZoom(page: Page): Promise<void> {
  const box = await page.getByRole("application").boundingBox();
  if (!box) throw new Error("the picture has no place");
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  for (let turn = 0; turn < 3; turn++) {
    await page.mouse.move(x, y);
    await page.mouse.down();
    for (let step = 1; step <= 20; step++) await page.mouse.move(x + 8 * step, y + 4 * step);
    await page.mouse.up();
    await page.mouse.wheel(0, turn === 0 ? -300 : 200);
  }
}

for (const theme of THEMES) {
  test(`50,000 elements are groups, and one of them opens (${theme})`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme });
    const topology = await fill(page);
    await open(page, node.origin, "/topology", "Topology");
    await expect(page.getByRole("application", { name: /^Graph of 4 groups/ })).toBeVisible();
    await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false");
    await expectAccessible(page);
    await screenshot(page, "groups", theme);

    await page.getByRole("button", { name: /^Groups:/ }).click();
    const list = page.getByRole("list", { name: "Open a group" });
    await expect(list.getByRole("listitem")).toHaveCount(4);
    await expectAccessible(page);
    await list.getByRole("button", { name: /tokyo/ }).press("Enter");
    const tokyo = topology.nodes.filter((each) => each.sites.length === 1 && each.sites[0] === "tokyo").length;
    await expect(page.getByRole("application", { name: new RegExp(`^Graph of 3 groups and ${String(tokyo).replace(/(\d)(?=\d{3}$)/, "$1.")} nodes`) })).toBeVisible();
    await expect(page.getByRole("navigation", { name: "Open group" })).toContainText("tokyo");
    await screenshot(page, "group-open", theme);
    await page.keyboard.press("Escape");
    await expect(page.getByRole("application", { name: /^Graph of 4 groups/ })).toBeVisible();
    await clickDisc(page);
    await expect(page).toHaveURL(/open=/);
    await expect(page.getByRole("application", { name: /^Graph of 3 groups and/ })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("application", { name: /^Graph of 4 groups/ })).toBeVisible();

    await page.goto(`${node.origin}/topology?by=as`);
    await expect(page.getByRole("application", { name: /^Graph of 41 groups/ })).toBeVisible();
    await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false");
    await screenshot(page, "groups-by-as", theme);
  });
}

test("the page answers while 50,000 elements are moved one by one", async ({ page }) => {
  test.setTimeout(120_000);
  await fill(page);
  await open(page, node.origin, "/topology?by=none", "Topology");
  await expect(page.getByRole("application", { name: /^Graph of 25.000 nodes/ })).toBeVisible();
  // The layout has its time; what is judged is a picture that stands.
  await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false", { timeout: 60_000 });
  const longTasks = await watchLongTasks(page);
  await panAndZoom(page);
  await page.getByRole("application").focus();
  for (let n = 0; n < 5; n++) await page.keyboard.press("ArrowLeft");
  const felt = await longTasks();
  test.info().annotations.push({ type: "long tasks", description: felt.map((ms) => ms.toFixed(0)).join(", ") });
  // Sixty moves, three turns of the wheel, five keys: letting go of the mouse may redraw everything once each time.
  expect(felt.length, `tasks of ${FELT_MS} ms and more: ${felt.join(", ")}`).toBeLessThanOrEqual(8);
});

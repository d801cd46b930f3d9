// Ask: one question in SQL to every site. By keyboard, by link, with a site that is missing, with an error.
import { expect, expectAccessible, firstNode, nodes, open, screenshot, test, THEMES } from "./mesh";

const node = firstNode();
test.use({ storageState: node.session });

const BY_SITE = "SELECT site, count(*) AS results FROM active_results GROUP BY site ORDER BY site";
const link = (sql: string, more = "") => `/query?sql=${encodeURIComponent(sql)}${more}`;

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme });

    test("a question is written, completed and asked by keyboard, and its link asks it again", async ({ page }) => {
      await open(page, node.origin, "/query", "Ask");
      await expect(page.getByText("Nothing asked yet").first()).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "ask-begin", theme);
      await page.keyboard.press("e");
      const editor = page.getByLabel("The question in SQL");
      await expect(editor).toBeFocused();
      await page.keyboard.type("SELECT site, count(*) AS results FROM active_re");
      await expect(page.getByRole("option", { name: /active_results/ })).toBeVisible();
      await page.keyboard.press("Tab");
      await page.keyboard.type(" GROUP BY site ORDER BY site");
      await expect(editor).toHaveValue(BY_SITE);
      await page.keyboard.press("Control+Enter");
      const table = page.getByRole("table", { name: "Rows" });
      for (const { site } of nodes()) await expect(table.getByRole("row", { name: new RegExp(site) })).toBeVisible();
      const sites = page.getByRole("list", { name: "How each site did" });
      for (const { site } of nodes()) await expect(sites).toContainText(site);
      await expect(page).toHaveURL(/sql=SELECT/);
      await expectAccessible(page);
      await screenshot(page, "ask-answer", theme);

      const shared = page.url();
      await page.goto("about:blank");
      await page.goto(shared);
      await expect(editor).toHaveValue(BY_SITE);
      await expect(table.getByRole("row")).toHaveCount(nodes().length + 1);
      await page.getByRole("radio", { name: "Asked" }).click();
      await expect(page.getByRole("list", { name: "Asked in this browser" })).toContainText("FROM active_results");
    });

    test("an error is shown at its place, and the way out is one press", async ({ page }) => {
      await open(page, node.origin, link("SELECT site,\n  targte\nFROM active_results LIMIT 5"), "Ask");
      const alert = page.getByRole("alert").filter({ hasText: "targte" });
      await expect(alert).toContainText("line 2, column 3");
      await expectAccessible(page);
      await screenshot(page, "ask-error", theme);
      await alert.getByRole("button", { name: "target", exact: true }).click();
      await expect(page.getByLabel("The question in SQL")).toHaveValue("SELECT site,\n  target\nFROM active_results LIMIT 5");
      await page.keyboard.press("Control+Enter");
      await expect(page.getByRole("table", { name: "Rows" }).getByRole("row")).not.toHaveCount(1);
    });

    test("a site that is missing and a value that is estimated are told above the rows", async ({ page }) => {
      await open(page, node.origin, link("SELECT site, approx_distinct(target) AS targets FROM active_results GROUP BY site", `&site=${node.site},nowhere`), "Ask");
      await expect(page.getByRole("alert").filter({ hasText: "Not complete" })).toContainText("nowhere failed");
      await expect(page.getByText("Not exact:")).toBeVisible();
      await expect(page.getByRole("table", { name: "Rows" }).getByRole("row", { name: new RegExp(node.site) })).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "ask-incomplete", theme);
      await page.getByRole("radio", { name: "Sites" }).click();
      await expect(page.getByRole("table", { name: "Sites that were asked" }).getByRole("row", { name: /nowhere/ })).toContainText("failed");
    });
  });
}

test("an answer that is cut says so, is sorted here, shows a row whole and is exported", async ({ page }) => {
  await open(page, node.origin, link("SELECT a.site, a.target, a.duration_ms, a.attributes FROM active_results a JOIN active_results b ON a.probe = b.probe"), "Ask");
  await expect(page.getByText("Cut:")).toBeVisible();
  const table = page.getByRole("table", { name: "Rows" });
  await page.getByRole("columnheader", { name: "duration_ms" }).getByRole("button").click();
  await expect(page.getByRole("columnheader", { name: "duration_ms" })).toHaveAttribute("aria-sort", /ascending|descending/);
  await table.getByRole("row").nth(1).click();
  await expect(page.getByRole("complementary", { name: "The row" })).toContainText("attributes");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("complementary", { name: "The row" })).toBeHidden();
  await page.getByRole("button", { name: "Export", exact: true }).click();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
  expect((await download).suggestedFilename()).toMatch(/^holm-answer(-incomplete)?-cut-.*\.csv$/);
});

test("a question that takes long is stopped", async ({ page }) => {
  await page.route("**/v1/query", async (route) => {
    await new Promise((done) => setTimeout(done, 5_000));
    await route.continue().catch(() => undefined);
  });
  await open(page, node.origin, "/query", "Ask");
  await page.getByLabel("The question in SQL").fill(BY_SITE);
  await page.keyboard.press("Control+Enter");
  await expect(page.getByRole("button", { name: /Stop/ })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByText("Stopped", { exact: true })).toBeVisible();
});

test("tables and columns are at hand, and the page is usable on a phone", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page, node.origin, "/query", "Ask");
  const shelf = page.getByRole("complementary", { name: "What can be asked" });
  await shelf.getByRole("button", { name: /active_results/ }).click();
  await page.getByLabel("The question in SQL").fill("SELECT ");
  await shelf.getByRole("button", { name: /duration_ms/ }).click();
  await expect(page.getByLabel("The question in SQL")).toHaveValue("SELECT duration_ms");
  expect(await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth), "nothing reaches past the edge").toBe(false);
  await expectAccessible(page);
  await screenshot(page, "ask-phone", "light");
});

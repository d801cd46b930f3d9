// Tests: one is written with a mistake, mended, seen to run at every site, run at once, and taken away; and the matrix
// of all pairs.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";

const node = firstNode();

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme, storageState: node.session });

    test("a test is written, runs at every site, and is taken away", async ({ page }) => {
      const name = `story-${theme}`;
      await open(page, node.origin, "/tests", "Tests & paths");
      await page.getByRole("region", { name: "Tests", exact: true }).getByRole("button", { name: "New test" }).click();
      const form = page.getByRole("region", { name: "New test" });
      const text = form.getByLabel("The test, as YAML or JSON");
      // An address that no operator opened: every site says so, and nothing leaves the machine.
      const wrong = `kind: Test\nname: ${name}\nprobe: tcp\ntarget: 192.168.255.1\nport: 9\ninterval: 1ms\n`;
      await text.fill(wrong);
      await expect(form.getByText("line 6, column 11")).toBeVisible();
      await expect(form.getByRole("button", { name: "Create" })).toBeDisabled();
      await text.fill(wrong.replace("1ms", "500ms"));
      await expect(form.getByRole("status")).toContainText(`${name}: created`);
      await expectAccessible(page);
      await form.getByRole("button", { name: "Create" }).click();

      const one = page.getByRole("region", { name: `Test ${name}` });
      const sites = one.getByRole("table", { name: "Sites of the test" });
      for (const site of ["berlin", "tokyo", "saopaulo"]) await expect(sites.getByText(site, { exact: true })).toBeVisible({ timeout: 60_000 });
      await expect(sites.getByText("refused").first()).toBeVisible({ timeout: 60_000 });
      await expect(page.getByRole("table", { name: "Tests", exact: true }).getByText("refused").first()).toBeVisible();
      await one.getByRole("button", { name: "Run now, where it runs" }).click();
      await expect(one.getByRole("list", { name: "What running it once came to" })).toContainText("is not dialled", { timeout: 60_000 });
      await expectAccessible(page);
      await screenshot(page, "tests-one", theme);

      await one.getByRole("button", { name: "Delete…" }).click();
      await one.getByRole("button", { name: "Take it away" }).click();
      await expect(one).toHaveCount(0);
      await expect(page.getByRole("table", { name: "Tests", exact: true }).getByText(name)).toHaveCount(0);
    });

    test("every site's pairs are shown, and nothing that was not measured", async ({ page }) => {
      await open(page, node.origin, "/tests", "Tests & paths");
      const grid = page.getByRole("region", { name: "What every site measures to every other" });
      for (const site of ["berlin", "tokyo", "saopaulo"]) await expect(grid.getByRole("columnheader", { name: site })).toBeVisible();
      // Three sites have six pairs; each is asked for again until both ends have said something.
      await expect(grid.locator("td .field.tone-ok-soft, td .field.tone-warn-soft")).toHaveCount(6, { timeout: 90_000 });
      await page.getByLabel("show").selectOption("one_way");
      await expect(grid.getByText("±").first()).toBeVisible({ timeout: 60_000 });
      await expectAccessible(page);
      await screenshot(page, "tests-pairs", theme);
    });
  });
}

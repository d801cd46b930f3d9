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

    test("how long a test took is a picture that is walked by keys", async ({ page }) => {
      await open(page, node.origin, "/tests", "Tests & paths");
      const name = `heat-${theme}`;
      await page.getByRole("region", { name: "Tests", exact: true }).getByRole("button", { name: "New test" }).click();
      const form = page.getByRole("region", { name: "New test" });
      // A node's own listener: it answers at once, and the demo's operator opened its address.
      const target = new URL(node.origin);
      await form.getByLabel("The test, as YAML or JSON").fill(`kind: Test\nname: ${name}\nprobe: tcp\ntarget: ${target.hostname}\nport: ${target.port}\ninterval: 1s\nsites: { names: [${node.site}] }\n`);
      await form.getByRole("button", { name: "Create" }).click();
      const heat = page.getByRole("region", { name: `How long ${name} took` });
      const picture = heat.getByRole("img");
      await expect(picture).toBeVisible({ timeout: 60_000 });
      await picture.focus();
      await page.keyboard.press("End");
      await expect(heat.getByRole("status", { name: "The field that is shown" })).toContainText(/failed: \d+ of \d+ runs?/);
      await page.keyboard.press("Home");
      await expect(heat.getByRole("status", { name: "The field that is shown" })).toContainText("not measured");
      await heat.getByText("As a table").click();
      await expect(heat.getByRole("table", { name: `How long ${name} took` })).toBeVisible();
      await page.getByRole("region", { name: `Test ${name}` }).getByRole("combobox").first().selectOption("6");
      await expect(page).toHaveURL(/window=(%22)?6h/);
      await expectAccessible(page);
      await screenshot(page, "tests-heat", theme);
      await page.getByRole("button", { name: "Delete…" }).click();
      await page.getByRole("button", { name: "Take it away" }).click();
    });

    test("what a browser saw is shown, request by request", async ({ page }) => {
      test.setTimeout(240_000);
      await open(page, node.origin, "/tests", "Tests & paths");
      const name = `visit-${theme}`;
      await page.getByRole("region", { name: "Tests", exact: true }).getByRole("button", { name: "New test" }).click();
      const form = page.getByRole("region", { name: "New test" });
      // A node's own console: the browser meets a certificate of the mesh, which no public authority signed.
      await form.getByLabel("The test, as YAML or JSON").fill(`kind: Test\nname: ${name}\nprobe: browser\ntarget: ${node.origin}/\ninterval: 1h\ntimeout: 2m\nsteps:\n- { name: open the console, expect_title: Holm }\nsites: { names: [${node.site}] }\n`);
      await form.getByRole("button", { name: "Create" }).click();
      const one = page.getByRole("region", { name: `Test ${name}` });
      const seen = one.getByRole("region", { name: "What the browser saw" });
      await one.getByRole("button", { name: "Run now, where it runs" }).click();
      const cameTo = one.getByRole("list", { name: "What running it once came to" });
      await expect(cameTo).toContainText(node.site, { timeout: 150_000 });
      const said = (await cameTo.textContent()) ?? "";
      test.skip(said.includes("no browser"), `the demo's sites have none: ${said}`);
      await expect(seen.getByText("ERR_CERT_AUTHORITY_INVALID").first()).toBeVisible({ timeout: 60_000 });
      await expect(seen.getByText("open the console").first()).toBeVisible();
      await expect(seen.getByRole("table", { name: "Requests of the page" })).toContainText(new URL(node.origin).host);
      await expectAccessible(page);
      await screenshot(page, "tests-visit", theme);
      await one.getByRole("button", { name: "Delete…" }).click();
      await one.getByRole("button", { name: "Take it away" }).click();
      await expect(one).toHaveCount(0);
    });

    test("the ways to a test's host are drawn, hop by hop, now and then", async ({ page }) => {
      // The first traces come within a quarter of a minute, more on a busy machine.
      test.setTimeout(300_000);
      await open(page, node.origin, "/tests", "Tests & paths");
      // Another site is traced by itself: a test of its address needs no answer to show the ways there.
      const traced = async () => {
        const answer = await page.request.get(`${node.origin}/v1/rows?table=path_results&limit=100`);
        const rows = (await answer.json()) as { items: { columns: { success?: boolean; "server.address"?: string } }[] };
        return rows.items.find(({ columns }) => columns.success)?.columns["server.address"] ?? "";
      };
      await expect.poll(traced, { timeout: 120_000, intervals: [1_000] }).not.toBe("");
      const address = await traced();
      const name = `ways-${theme}`;
      await page.getByRole("region", { name: "Tests", exact: true }).getByRole("button", { name: "New test" }).click();
      const form = page.getByRole("region", { name: "New test" });
      await form.getByLabel("The test, as YAML or JSON").fill(`kind: Test\nname: ${name}\nprobe: tcp\ntarget: ${address}\nport: 9\ninterval: 30s\n`);
      await form.getByRole("button", { name: "Create" }).click();

      const ways = page.getByRole("region", { name: `Ways to ${address}` });
      const hops = ways.getByRole("region", { name: /^Hops from / });
      const target = hops.getByRole("button", { name: new RegExp(`${address.replaceAll(".", "\\.")}, `) });
      await expect(target).toBeVisible({ timeout: 120_000 });
      await target.click();
      await expect(ways.getByLabel("Details of the hop")).toContainText("round trip");
      await ways.getByText("As a table").click();
      await expect(ways.getByRole("table", { name: /^Hops from / })).toContainText(address);
      await expectAccessible(page);
      await target.scrollIntoViewIfNeeded();
      await screenshot(page, "tests-ways", theme);
      // By keyboard to an earlier moment; the URL carries it, and live is one press away.
      await ways.getByRole("slider", { name: "Moment of the ways" }).focus();
      await page.keyboard.press("Home");
      await expect(page).toHaveURL(/at=/);
      await expect(ways.getByText("Not traced")).toBeVisible({ timeout: 60_000 });
      await ways.getByRole("button", { name: "Live", exact: true }).click();
      await expect(target).toBeVisible({ timeout: 60_000 });

      const one = page.getByRole("region", { name: `Test ${name}` });
      await one.getByRole("button", { name: "Delete…" }).click();
      await one.getByRole("button", { name: "Take it away" }).click();
      await expect(one).toHaveCount(0);
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

      const way = page.getByRole("region", { name: "How much a way carries" });
      await way.getByLabel("at most").selectOption("4");
      await way.getByRole("button", { name: "Measure" }).click();
      await expect(way.getByText(/up [\d.]+ Mbit\/s .*down [\d.]+ Mbit\/s/)).toBeVisible({ timeout: 60_000 });
      await expectAccessible(page);
      await screenshot(page, "tests-throughput", theme);
    });
  });
}

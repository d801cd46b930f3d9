// Incidents: what is wrong is listed, one is opened, looked at and noted; a node that is cut off has at least that one.
import { expect, expectAccessible, firstNode, open, screenshot, sessionFile, test, THEMES } from "./mesh";
import type { IncidentList } from "../src/api/types";

const node = firstNode();

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme, storageState: node.session });

    test("the list says what is wrong, or that nothing is", async ({ page }) => {
      await open(page, node.origin, "/incidents", "Incidents");
      const list = (await (await page.request.get(`${node.origin}/v1/incidents`)).json()) as IncidentList;
      const table = page.getByRole("table", { name: "Incidents" });
      const [first] = list.items;
      if (first) await expect(table.getByText(first.title).first()).toBeVisible();
      else await expect(table).toContainText("Nothing is wrong as far as this node has heard.");
      await expectAccessible(page);
      await screenshot(page, "incidents", theme);
    });
  });
}

const link = process.env["HOLM_CUT_OFF_URL"];
const origin = link ? new URL(link).origin : "";

test.describe("cut off", () => {
  test.skip(!link, "HOLM_CUT_OFF_URL is not set");
  test.use(link ? { storageState: sessionFile("cut-off") } : {});

  for (const theme of THEMES) {
    test(`being cut off is an incident that somebody takes (${theme})`, async ({ page }) => {
      await page.emulateMedia({ colorScheme: theme });
      await open(page, origin, "/incidents", "Incidents");
      const table = page.getByRole("table", { name: "Incidents" });
      await table.getByText(/is cut off/).first().click();
      const happened = page.getByRole("region", { name: "What happened" });
      await expect(happened).toContainText("cut_off raised");
      const around = page.getByRole("region", { name: "Around it when it began" });
      await expect(around.getByRole("application", { name: /^Graph of \d+ nodes?,/ })).toBeVisible();
      await expect(around.locator(".graph-place")).toHaveAttribute("data-busy", "false");
      await page.keyboard.press("t");
      await expect(around.getByRole("table", { name: "Around it" })).toContainText("about it");
      await page.keyboard.press("t");
      await expect(around.getByRole("link", { name: "The topology then" })).toHaveAttribute("href", /\/topology\?at=/);
      const again = page.getByRole("button", { name: "Acknowledge", exact: true });
      if (await again.isVisible()) await again.click();
      await expect(happened).toContainText("ack");
      // As many as make the timeline longer than its place: it must be scrolled by keys, too.
      for (let n = 1; n <= 16; n += 1) {
        await page.getByRole("button", { name: "Note…" }).click();
        await page.getByLabel("Note", { exact: true }).fill(`the uplink, ${theme}, ${n}`);
        await page.getByRole("button", { name: "Note", exact: true }).click();
        await expect(happened).toContainText(`the uplink, ${theme}, ${n}`);
      }
      const timeline = page.getByRole("region", { name: "Timeline" });
      expect(await timeline.evaluate((place) => place.scrollHeight > place.clientHeight)).toBe(true);
      await expectAccessible(page);
      await screenshot(page, "incident", theme);
    });
  }
});

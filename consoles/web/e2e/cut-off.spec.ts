// A node that is cut off says so, names whom it does not hear, and goes on serving.
import { expect, expectAccessible, open, screenshot, sessionFile, test, THEMES } from "./mesh";
import type { Sites } from "../src/api/types";

const link = process.env["HOLM_CUT_OFF_URL"];
const origin = link ? new URL(link).origin : "";
const ROOMS = [["/", "Overview", "cut-off-overview"], ["/topology", "Topology", "cut-off-topology"], ["/mesh", "Mesh", "cut-off-mesh"]] as const;

test.describe("cut off", () => {
  test.skip(!link, "HOLM_CUT_OFF_URL is not set");
  test.use(link ? { storageState: sessionFile("cut-off") } : {});

  for (const theme of THEMES) {
    for (const [path, room, name] of ROOMS) {
      test(`the band names whom it does not hear in ${room} (${theme})`, async ({ page }) => {
        await page.emulateMedia({ colorScheme: theme });
        await open(page, origin, path, room);
        const band = page.getByRole("alert").filter({ hasText: "Cut off since" });
        await expect(band).toBeVisible();
        const sites = (await (await page.request.get(`${origin}/v1/sites`)).json()) as Sites;
        expect(sites.cut_off?.unheard.length).toBeGreaterThan(0);
        for (const each of sites.cut_off?.unheard ?? []) await expect(band).toContainText(each.site);
        await expect(band).toContainText("goes on observing and serving");
        await expectAccessible(page);
        await screenshot(page, name, theme);
      });
    }
  }
});

// The frame: keyboard, links that carry the picture, live news, no session.
import { expect, expectAccessible, firstNode, nodes, open, screenshot, test, THEMES } from "./mesh";

const node = firstNode();

test.describe("with a session", () => {
  test.use({ storageState: node.session });

  test("every room is reached by keys, and ? lists them", async ({ page }) => {
    await open(page, node.origin, "/", "Overview");
    for (const [key, room] of [["t", "Topology"], ["m", "Mesh"], ["s", "Settings"], ["o", "Overview"]] as const) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await expect(page.getByRole("heading", { level: 1, name: room })).toBeVisible();
    }
    await page.keyboard.press("?");
    await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
    await expectAccessible(page);
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
  });

  test("tab goes through the frame with a focus that can be seen", async ({ page }) => {
    await open(page, node.origin, "/", "Overview");
    const seen: string[] = [];
    for (let n = 0; n < 12; n++) {
      await page.keyboard.press("Tab");
      const focus = await page.evaluate(() => {
        const at = document.activeElement;
        return at && at !== document.body ? { name: at.getAttribute("aria-label") ?? at.textContent, outline: getComputedStyle(at).outlineStyle } : null;
      });
      expect(focus, `after ${n + 1} tabs`).not.toBeNull();
      expect(focus?.outline, focus?.name).not.toBe("none");
      seen.push(focus?.name ?? "");
    }
    expect(seen[0]).toBe("To the room");
    expect(seen.join("|")).toMatch(/Scope.*Time.*Search.*Freshness/s);
  });

  test("search finds an element and opens it", async ({ page }) => {
    await open(page, node.origin, "/topology", "Topology");
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill(`agent:`);
    await expect(page.getByRole("option").first()).toContainText("agent");
    await expectAccessible(page);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("complementary", { name: "Element" })).toBeVisible();
    expect(new URL(page.url()).searchParams.get("el")).toContain("agent:");
    await page.keyboard.press("Escape");
    await expect(page.getByRole("complementary", { name: "Element" })).toHaveCount(0);
  });

  test("the address carries scope, time and filters", async ({ page }) => {
    const at = new Date(Date.now() - 2000).toISOString();
    await open(page, node.origin, `/topology?site=${node.site}&at=${encodeURIComponent(at)}&hide=hop`, "Topology");
    await expect(page.getByRole("button", { name: `Scope: ${node.site}` })).toBeVisible();
    await expect(page.getByText("Topology as it was at")).toBeVisible();
    await expect(page.getByRole("contentinfo").or(page.locator(".same-by"))).toContainText(`--site ${node.site} --at ${at}`);
    await page.keyboard.press("l");
    await expect(page.getByText("Topology as it was at")).toHaveCount(0);
    expect(new URL(page.url()).searchParams.get("site")).toBe(node.site);
  });

  test("the slider goes back in time by keys and to live again", async ({ page }) => {
    await open(page, node.origin, "/topology", "Topology");
    const slider = page.getByRole("slider", { name: "Moment" });
    // The slider has no past before the node has said how far its own goes.
    await expect(async () => {
      await slider.press("Home");
      await expect(page.getByText("Topology as it was at")).toBeVisible({ timeout: 1_000 });
    }).toPass();
    // Now moves on while the key is on its way.
    await expect(async () => {
      await slider.press("End");
      await expect(page.getByText("Topology as it was at")).toHaveCount(0, { timeout: 1_000 });
    }).toPass();
  });

  test("the theme is switched and remembered", async ({ page }) => {
    await page.emulateMedia({ colorScheme: "dark" });
    await open(page, node.origin, "/settings", "Settings");
    await page.getByRole("radio", { name: "Light" }).click();
    await page.reload();
    await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
    await expect(page.getByRole("radio", { name: "Light" })).toBeChecked();
  });

  test("what is exported is what is shown", async ({ page }) => {
    await open(page, node.origin, "/topology", "Topology");
    await expect(page.locator(".graph-place")).toHaveAttribute("data-busy", "false");
    for (const kind of ["PNG", "SVG", "CSV", "JSON"]) {
      await page.getByRole("button", { name: "Export" }).click();
      const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: kind, exact: true }).click()]);
      expect(file.suggestedFilename()).toMatch(new RegExp(`^holm-topology-.*\\.${kind.toLowerCase()}$`));
      await page.keyboard.press("Escape");
    }
  });
});

test("news of the mesh reach the page without a reload", async ({ browser }) => {
  const context = await browser.newContext({ storageState: node.session, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await open(page, node.origin, "/", "Overview");
  await page.getByRole("button", { name: /^Freshness/ }).click();
  await expect(page.getByText("This page is live")).toBeVisible();
  // Nobody touches the page: what is asked for again now, the stream asked for.
  await page.waitForRequest((request) => /\/v1\/(sites|topology|results)/.test(request.url()), { timeout: 45_000 });
  await context.close();
});

test("every node of the mesh serves the same sites", async ({ browser }) => {
  const all = nodes();
  for (const each of all) {
    const context = await browser.newContext({ storageState: each.session, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await open(page, each.origin, "/", "Overview");
    for (const other of all) await expect(page.getByRole("region", { name: "Sites" }).getByRole("link", { name: new RegExp(other.site) })).toBeVisible();
    await context.close();
  }
});

for (const theme of THEMES) {
  test(`without a session the page says how to get one (${theme})`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto(`${node.origin}/mesh`);
    await expect(page.getByRole("heading", { name: "No session" })).toBeVisible();
    await expect(page.getByText("holm login-link")).toBeVisible();
    await expectAccessible(page);
    await screenshot(page, "logged-out", theme);
  });
}

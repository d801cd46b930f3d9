// Paging: a connector is written and tried out, its secret never comes back, and a route says of what it is told.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";

const node = firstNode();
const SECRET = "a secret of the browser's story";

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme, storageState: node.session });
    let provider: Server;
    let told: string[] = [];

    test.beforeAll(async () => {
      provider = createServer((request, response) => {
        told.push(String(request.headers["x-holm-event"]));
        request.resume();
        response.writeHead(202).end();
      });
      await new Promise<void>((done) => provider.listen(0, "127.0.0.1", done));
    });
    test.afterAll(() => {
      provider.close();
    });

    test("who is told is written, tried out and taken away", async ({ page }) => {
      told = [];
      const { port } = provider.address() as AddressInfo;
      const name = `story-${theme}`;
      await open(page, node.origin, "/paging", "Paging");
      await page.getByRole("region", { name: "Connectors" }).getByRole("button", { name: "New…" }).click();
      const form = page.getByRole("region", { name: "A new connector" });
      await form.getByLabel("Name").fill(name);
      await form.getByLabel("Provider").selectOption("webhook");
      await form.getByLabel("Address").fill("http://example.org/in");
      await form.getByLabel(/^Secret: /).fill(SECRET);
      await form.getByRole("button", { name: "Write" }).click();
      await expect(form.getByRole("alert")).toContainText("url: https://");
      await form.getByLabel("Address").fill(`http://127.0.0.1:${port}/in`);
      await expectAccessible(page);
      await screenshot(page, "paging-connector", theme);
      await form.getByRole("button", { name: "Write" }).click();
      const connectors = page.getByRole("table", { name: "Connectors" });
      await connectors.getByText(name).click();
      const one = page.getByRole("region", { name: `Connector ${name}` });
      await expect(one.getByLabel(/^Secret: /)).toHaveValue("");
      await one.getByRole("button", { name: "Send a test page" }).click();
      // In the demo's namespaces a node's loopback is its own: there it says that nobody is reached.
      const status = one.getByRole("status");
      await expect(status).toContainText(/took the test page|is not reached/);
      expect(told).toEqual((await status.textContent())?.includes("took") ? ["trigger"] : []);

      await page.getByRole("region", { name: "Routes" }).getByRole("button", { name: "New…" }).click();
      const route = page.getByRole("region", { name: "A new route" });
      await route.getByLabel("Name").fill(name);
      await route.getByLabel("About").fill("service:nothing-like-this");
      await route.getByLabel("After", { exact: true }).fill("5m");
      await route.getByLabel(name).check();
      await route.getByRole("button", { name: "Write" }).click();
      const routes = page.getByRole("table", { name: "Routes" });
      await expect(routes).toContainText("about service:nothing-like-this");
      await expectAccessible(page);
      await screenshot(page, "paging", theme);

      const shown = await (await page.request.get(`${node.origin}/v1/paging/connectors`)).text();
      expect(shown).not.toContain(SECRET);
      await routes.getByText("about service:nothing-like-this").click();
      await page.getByRole("region", { name: `Route ${name}` }).getByRole("button", { name: "Take away" }).click();
      await connectors.getByText(name).click();
      await page.getByRole("region", { name: `Connector ${name}` }).getByRole("button", { name: "Take away" }).click();
      await expect(connectors.getByText(name)).toHaveCount(0);
    });
  });
}

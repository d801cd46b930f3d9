// Endpoints: what an agent sends shows as the way from the machine outwards, with the part to blame and what is withheld.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";

const node = firstNode();

/** A sample of a machine whose gateway loses. */
function sample(at: number) {
  const echo = (received: number, rtt_ms: number) => ({ measured: { sent: 10, received, rtt_ms } });
  return {
    at, interval_ms: 60_000, hostname: "withheld", wifi: "no_wifi",
    gateways: { measured: [{ family: "ipv4", address: "withheld", interface: "eth0", echo: echo(6, 90) }] },
    resolvers: { measured: [] }, last_mile: { not_measured: "off in this story" }, sessions: { measured: [] },
    checks: [{ name: { told: "shop" }, probe: "tcp", result: { measured: { success: true, duration_ms: 5, error: null } } }],
    thresholds: {},
  };
}

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme, storageState: node.session });

    test("an endpoint shows which part of its way is to blame", async ({ page }) => {
      const name = `story-${theme}`;
      const made = await page.request.post(`${node.origin}/v1/endpoints`, { data: { name }, headers: { origin: node.origin } });
      expect(made.status()).toBe(201);
      const { token } = (await made.json()) as { token: string };
      const sent = await page.request.post(`${node.origin}/ingest/endpoints`, {
        data: { queue: `story${theme}`, dropped: 0, samples: [{ sequence: 1, sample: sample(Date.now()) }] },
        headers: { authorization: `Bearer ${token}` },
      });
      expect(sent.ok(), await sent.text()).toBe(true);
      await expect(async () => {
        const list = await (await page.request.get(`${node.origin}/v1/endpoints?attribution=local`)).text();
        expect(list).toContain(name);
      }).toPass();
      await open(page, node.origin, "/endpoints", "Endpoints");
      await page.getByRole("table", { name: "Endpoints" }).getByText(name, { exact: true }).click();
      const one = page.getByRole("region", { name });
      const way = one.getByRole("list", { name: "The way from the machine to its targets" });
      await expect(way.getByRole("listitem")).toHaveCount(5);
      await expect(way.locator(".blamed")).toContainText("Gateway");
      await expect(way.locator(".blamed")).toContainText("6 of 10 echoes");
      await expect(one).toContainText("withheld");
      await expect(way).toContainText("no wi-fi");
      await expectAccessible(page);
      await screenshot(page, "endpoints", theme);
      const revoked = await page.request.delete(`${node.origin}/v1/endpoints/${name}`, { headers: { origin: node.origin } });
      expect(revoked.status()).toBe(204);
    });
  });
}

// Flows: what the room says where no site collects any, and its words. Where one does, what was received.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";
import type { FlowExporters, FlowTop, Planes } from "../src/api/types";

const node = firstNode();
test.use({ storageState: node.session });

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme });

    test("flows are shown, or why there are none", async ({ page }) => {
      const planes = (await (await page.request.get(`${node.origin}/v1/planes`)).json()) as Planes;
      const plane = planes.items.find((each) => each.plane === "flow");
      test.skip(!plane, "this node has no flow plane, so there is no such room");
      await open(page, node.origin, "/flows", "Flows");
      if (plane?.state === "off") {
        await expect(page.getByText(plane.reason).first()).toBeVisible();
        await expect(page.getByText(plane.remedy).first()).toBeVisible();
      }
      const top = (await (await page.request.get(`${node.origin}/v1/flows/top`)).json()) as FlowTop;
      const [first] = top.items;
      if (first) {
        await expect(page.getByRole("table", { name: "Largest groups" })).toContainText(first.key.map((part) => JSON.stringify(part.value).replaceAll('"', "")).find((value) => value !== "null") ?? "not told");
        await expect(page.getByRole("application")).toBeVisible();
      }
      await expectAccessible(page);
      await screenshot(page, "flows", theme);
    });

    test("exporters are listed with their health, or that nothing listens", async ({ page }) => {
      await open(page, node.origin, "/flows?tab=exporters", "Flows");
      const answer = (await (await page.request.get(`${node.origin}/v1/flows/exporters`)).json()) as FlowExporters;
      for (const each of answer.items) await expect(page.getByRole("table", { name: "Exporters" })).toContainText(each.address);
      if (answer.items.length === 0) await expect(page.getByText("No exporter was heard")).toBeVisible();
      await expectAccessible(page);
      await screenshot(page, "flows-exporters", theme);
    });
  });
}

test("a filter that is wrong says where; a completion and Enter set it, in the link", async ({ page }) => {
  await open(page, node.origin, `/flows?filter=${encodeURIComponent("src = foo")}`, "Flows");
  await expect(page.getByRole("button", { name: "character 7" })).toBeVisible();
  await page.keyboard.press("i");
  const field = page.getByRole("combobox", { name: "Which flows" });
  await field.fill("dst_po");
  await page.getByRole("option", { name: /dst_port/ }).waitFor();
  await page.keyboard.press("Tab");
  await expect(field).toHaveValue("dst_port ");
  await page.keyboard.type("= 443");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/filter=dst_port/);
  await expect(page.getByRole("button", { name: /^character/ })).toHaveCount(0);
});

// Alerts: a rule is written with a mistake that is shown where it is, mended, looked at over the rows that there are, saved; it fires on what the demo's sites probe, is silenced, and taken away.
import { expect, expectAccessible, firstNode, open, screenshot, test, THEMES } from "./mesh";
import type { AlertList } from "../src/api/types";

const node = firstNode();
/** Rows are judged each ten seconds, and some seconds late. */
const JUDGED = { timeout: 90_000 };

const rule = (name: string, condition: string) => `kind: AlertRule
name: ${name}
title: Story of ${name}
severity: info
table: active_results
by: [probe]
value: count
window: 1m
every: 10s
condition:
  ${condition}
`;

for (const theme of THEMES) {
  test.describe(theme, () => {
    test.use({ colorScheme: theme, storageState: node.session });

    test("a rule is written, mended, previewed, saved, fires, is silenced and taken away", async ({ page }) => {
      test.setTimeout(240_000);
      const name = `story-${theme}`;
      await open(page, node.origin, "/alerts", "Alerts");
      await page.getByRole("button", { name: "New rule" }).click();
      const editor = page.getByRole("region", { name: "New rule" });
      const text = editor.getByLabel("The rule, as YAML or JSON");
      const create = editor.getByRole("button", { name: "Create" });

      await text.fill(rule(name, "above: much"));
      const problems = editor.locator("#alert-problems");
      await expect(problems).toContainText("condition.above: much is no number");
      await expect(text).toHaveAttribute("aria-invalid", "true");
      await expect(create).toBeDisabled();
      await expectAccessible(page);
      await screenshot(page, "alert-rule-wrong", theme);
      // The place leads to the place: what is written there takes the wrong word's.
      await problems.getByRole("button", { name: "line 11, column 10" }).click();
      await expect(text).toBeFocused();
      for (let n = 0; n < "much".length; n++) await page.keyboard.press("Delete");
      await page.keyboard.type("0");
      await expect(text).toHaveValue(rule(name, "above: 0"));
      await expect(problems).toBeEmpty();

      await editor.getByRole("button", { name: "Preview" }).click();
      await expect(editor.getByRole("img", { name: /probe .*: would have fired/ }).first()).toBeVisible();
      await expect(create).toBeEnabled();
      await create.click();
      await expect(page.getByRole("region", { name: `Story of ${name}` })).toBeVisible();
      const rules = page.getByRole("table", { name: "Alert rules" });
      await expect(rules.getByText(`Story of ${name}`)).toBeVisible();

      // It fires on rows of the demo's own probes, at this site and, as they hear of it, at the others.
      const fires = page.getByRole("table", { name: "Alerts" }).getByRole("row").filter({ hasText: `Story of ${name}` });
      await expect(fires.filter({ hasText: "Firing" }).first()).toBeVisible(JUDGED);
      const alerts = (await (await page.request.get(`${node.origin}/v1/alerts?rule=${name}&state=firing`)).json()) as AlertList;
      expect(alerts.items.length).toBeGreaterThan(0);
      expect(alerts.items[0]?.value).toBeGreaterThan(0);
      await expectAccessible(page);
      await screenshot(page, "alerts", theme);

      const silences = page.getByRole("region", { name: "Silences" });
      await silences.getByRole("button", { name: "New silence" }).click();
      await silences.getByLabel("What matches, all of it").fill("anything");
      await expect(silences.getByRole("button", { name: "Silence", exact: true })).toBeDisabled();
      await silences.getByLabel("What matches, all of it").fill(`rule=${name}`);
      await silences.getByLabel("Why").fill("the story");
      await silences.getByRole("button", { name: "Silence", exact: true }).click();
      const silence = page.getByRole("table", { name: "Silences" }).getByRole("row").filter({ hasText: `rule=${name}` });
      await expect(silence.filter({ hasText: "the story" }).filter({ hasText: /On|on/ })).toHaveCount(1);
      await expect(fires.filter({ hasText: "Silenced" }).first()).toBeVisible(JUDGED);
      await expect(fires.filter({ hasText: "Firing" })).toHaveCount(0, JUDGED);
      await expectAccessible(page);
      await screenshot(page, "alerts-silenced", theme);

      await silence.getByRole("button", { name: "Take away" }).click();
      await expect(silence.getByRole("button", { name: "Take away" })).toHaveCount(0);
      const one = page.getByRole("region", { name: `Story of ${name}` });
      await one.getByRole("button", { name: "Delete…" }).click();
      await one.getByRole("button", { name: "Take it away" }).click();
      await expect(rules.getByText(`Story of ${name}`)).toHaveCount(0);
      await expect(fires).toHaveCount(0, JUDGED);
    });
  });
}

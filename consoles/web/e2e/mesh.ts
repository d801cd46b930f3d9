// The nodes that the stories are told against, and their sessions.
import AxeBuilder from "@axe-core/playwright";
import { expect, test as base, type Page } from "@playwright/test";

/** One node: its site, the origin of its console, the file with its session. */
export interface NodeUnderTest {
  site: string;
  origin: string;
  session: string;
}

interface Given {
  site: string;
  login_url: string;
}

/** `HOLM_CONSOLE_URLS`: JSON `[{"site": "berlin", "login_url": "https://…/login?code=…"}]`. */
export function given(): Given[] {
  const text = process.env["HOLM_CONSOLE_URLS"];
  if (!text) throw new Error('HOLM_CONSOLE_URLS is not set; it is JSON: [{"site": "...", "login_url": "https://.../login?code=..."}]');
  return JSON.parse(text) as Given[];
}

export function sessionFile(name: string): string {
  return `test-results/.session-${name}.json`;
}

export function nodes(): NodeUnderTest[] {
  return given().map(({ site, login_url }) => ({ site, origin: new URL(login_url).origin, session: sessionFile(site) }));
}

export function firstNode(): NodeUnderTest {
  const [node] = nodes();
  if (!node) throw new Error("HOLM_CONSOLE_URLS names no node");
  return node;
}

export type Theme = "dark" | "light";
export const THEMES: readonly Theme[] = ["dark", "light"];

/** Every story fails on an error that the page throws or a request that its own policy refuses. */
export const test = base.extend<{ errors: string[] }>({
  errors: [
    async ({ page }, use) => {
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => {
        if (message.type() === "error" && /Content Security Policy|Uncaught/.test(message.text())) errors.push(message.text());
      });
      await use(errors);
      expect(errors, "errors on the page").toEqual([]);
    },
    { auto: true },
  ],
});

/** Opens a room and waits until it shows what the node said. */
export async function open(page: Page, origin: string, path: string, room: string): Promise<void> {
  await page.goto(origin + path);
  await expect(page.getByRole("heading", { level: 1, name: room })).toBeVisible();
  await expect(page.locator('[aria-busy="true"].waiting')).toHaveCount(0);
}

export async function screenshot(page: Page, name: string, theme: Theme): Promise<void> {
  await page.screenshot({ path: `test-results/screens/${name}-${theme}.png` });
}

/** No violation of WCAG 2 A and AA as far as axe can tell, once the page is at rest: what is on its way in is looked at again. */
export async function expectAccessible(page: Page): Promise<void> {
  const violations = async () => {
    const found = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
    return found.violations.map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.failureSummary ?? ""}`).join("; ")}`);
  };
  await expect.poll(violations, { message: "axe", timeout: 10_000, intervals: [250, 1_000] }).toEqual([]);
}

export { expect };

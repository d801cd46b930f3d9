// A login link works once, so each is opened once and its session kept for every story, and for the
// next run against the same node.
import { existsSync } from "node:fs";

import { chromium, type FullConfig } from "@playwright/test";

import { given, sessionFile } from "./mesh";

export default async function logIn(config: FullConfig): Promise<void> {
  const launch = config.projects[0]?.use.launchOptions ?? {};
  const browser = await chromium.launch(launch);
  const cutOff = process.env["HOLM_CUT_OFF_URL"];
  const links = [...given(), ...(cutOff ? [{ site: "cut-off", login_url: cutOff }] : [])];
  for (const { site, login_url } of links) {
    const kept = existsSync(sessionFile(site)) ? { storageState: sessionFile(site) } : {};
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...kept });
    const page = await context.newPage();
    const whoAmI = `${new URL(login_url).origin}/v1/me`;
    let me = await page.request.get(whoAmI);
    if (!me.ok()) {
      await page.goto(login_url);
      me = await page.request.get(whoAmI);
    }
    if (!me.ok()) throw new Error(`the login link of ${site} gave no session (status ${me.status()}); a link works once, get a new one with holm login-link`);
    await context.storageState({ path: sessionFile(site) });
    await context.close();
  }
  await browser.close();
}

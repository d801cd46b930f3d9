import { defineConfig } from "@playwright/test";

// Debian's Chromium against running nodes; nothing is started here. See README.md.
export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results/run",
  globalSetup: "./e2e/log-in.ts",
  reporter: [["list"], ["json", { outputFile: "test-results/report.json" }]],
  workers: 1,
  // Three nodes and a browser share two cores; what passes only at the second try is shown as flaky.
  retries: 2,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  use: {
    browserName: "chromium",
    viewport: { width: 1280, height: 720 },
    // The nodes' certificates are those of the mesh's own authority.
    ignoreHTTPSErrors: true,
    // A colour on its way from one to another is neither of them: axe measures what stands.
    contextOptions: { reducedMotion: "reduce" },
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: process.env["HOLM_CHROMIUM"] ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        // WebGL without a graphics card.
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
      ],
    },
  },
});

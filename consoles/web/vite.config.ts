import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where `npm run dev` finds a node: a real one, or the fake of `npm run dev:node`.
const node = process.env["HOLM_NODE"] ?? "http://127.0.0.1:8181";

export default defineConfig({
  // Every route of the console is one level deep, so relative assets resolve from each of them.
  base: "./",
  plugins: [react()],
  build: { target: "es2022", chunkSizeWarningLimit: 900, sourcemap: false },
  worker: { format: "es" },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/v1", "/login", "/version"].map((path) => [path, { target: node, secure: false, changeOrigin: true }]),
    ),
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});

// Dark, light, or as the system has it; remembered in this browser. public/theme.js applies it before the first paint.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "dark" | "light";

const KEY = "holm.theme";
const listeners = new Set<() => void>();
const system = typeof matchMedia === "undefined" ? null : matchMedia("(prefers-color-scheme: dark)");
system?.addEventListener("change", () => listeners.forEach((each) => each()));

function read(): Theme {
  const theme = document.documentElement.dataset["theme"];
  return theme === "dark" || theme === "light" ? theme : "system";
}

export function setTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered where storage is refused.
  }
  listeners.forEach((each) => each());
}

export function switchTheme(): void {
  setTheme(isDark() ? "light" : "dark");
}

function isDark(): boolean {
  const theme = read();
  return theme === "system" ? (system?.matches ?? true) : theme === "dark";
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, read);
/** What is seen now, whoever chose it. */
export const useIsDark = (): boolean => useSyncExternalStore(subscribe, isDark);

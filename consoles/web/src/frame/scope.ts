// Scope and time as every room reads and changes them: from the URL, to the URL.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

import { useTopology } from "../api/queries";
import { oneSite, split, type Search } from "./search";

export function useUrl(): Search {
  return useSearch({ strict: false });
}

/** Changes parts of the URL's search and stays in the room; `replace` for what a slider does on its way. */
export function useSetUrl(): (change: Partial<Record<keyof Search, string | undefined>>, replace?: boolean) => void {
  const navigate = useNavigate();
  return useCallback(
    (change, replace = false) => {
      void navigate({
        to: ".",
        replace,
        search: (old: Search) => Object.fromEntries(Object.entries({ ...old, ...change }).filter(([, value]) => value !== undefined)),
      });
    },
    [navigate],
  );
}

/** True for a row of `site` that is in scope. */
export function inScope(search: Search): (site: string) => boolean {
  const sites = split(search.site);
  return (site) => sites.length === 0 || sites.includes(site);
}

/** The picture at the URL's moment and scope. */
export function useScopedTopology() {
  const search = useUrl();
  return useTopology({ at: search.at, site: oneSite(search.site) });
}

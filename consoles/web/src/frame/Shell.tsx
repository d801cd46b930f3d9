// The frame around every room.
import * as Tooltip from "@radix-ui/react-tooltip";
import { Outlet } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { api, isLoggedOut } from "../api/client";
import { queryClient, useMe } from "../api/queries";
import { openStream } from "../api/stream";
import { Bands, Bar } from "./Bar";
import { ElementPanel } from "./ElementPanel";
import { useKeys, useRoomKeys } from "./keys";
import { KeysDialog } from "./KeysDialog";
import { LoggedOut } from "./LoggedOut";
import { Rail } from "./Rail";
import { useSetUrl, useUrl } from "./scope";
import { SearchDialog } from "./Search";
import { closeLast } from "./search";
import { switchTheme } from "./theme";

export function Shell() {
  const me = useMe();
  if (isLoggedOut(me.error)) return <LoggedOut />;
  return (
    <Tooltip.Provider delayDuration={300}>
      <House />
    </Tooltip.Provider>
  );
}

function House() {
  const [search, setSearch] = useState(false);
  const [keys, setKeys] = useState(false);
  const url = useUrl();
  const setUrl = useSetUrl();

  useEffect(() => openStream(queryClient, () => queryClient.query({ queryKey: ["me"], queryFn: () => api.me(), staleTime: 0 })), []);
  useRoomKeys();
  useKeys({
    "?": () => setKeys(true),
    "/": () => setSearch(true),
    l: () => setUrl({ at: undefined }),
    D: switchTheme,
    Escape: () => setUrl(closeLast(url)),
  });
  // Ctrl-K works from everywhere, a text field included.
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearch((open) => !open);
      }
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);

  return (
    <div className="house">
      <a className="skip" href="#room">To the room</a>
      <Bar onSearch={() => setSearch(true)} onKeys={() => setKeys(true)} />
      <div className="bands"><Bands /></div>
      <Rail />
      <main id="room" tabIndex={-1}>
        <Outlet />
      </main>
      <ElementPanel />
      <SearchDialog open={search} onOpen={setSearch} onKeys={() => setKeys(true)} />
      <KeysDialog open={keys} onOpen={setKeys} />
    </div>
  );
}

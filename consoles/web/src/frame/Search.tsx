// Ctrl-K: elements, pages and actions in one field.
import * as Dialog from "@radix-ui/react-dialog";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";

import { usePlanes } from "../api/queries";
import { Kbd } from "../parts/basics";
import { count } from "../parts/format";
import { Icon } from "../parts/icons";
import type { Found } from "./find";
import { aWhileBefore } from "./history";
import { roomsFor } from "./rooms";
import { useScopedTopology, useSetUrl, useUrl } from "./scope";
import type { Search } from "./search";
import { switchTheme } from "./theme";
import { useFound } from "./useFound";

const ACTIONS: readonly Found[] = [
  { group: "Actions", id: "ranking", name: "What would break most", note: "single points of failure, worst first", icon: "ranking" },
  { group: "Actions", id: "compare", name: "Compare with a quarter of an hour before", note: "what appeared, vanished, returned, changed", icon: "clock" },
  { group: "Actions", id: "live", name: "Back to live", note: "l", icon: "play" },
  { group: "Actions", id: "theme", name: "Dark or light", note: "Shift D", icon: "theme" },
  { group: "Actions", id: "copy", name: "Copy the link to this picture", note: "scope, time, filters, selection", icon: "copy" },
  { group: "Actions", id: "keys", name: "Keys", note: "?", icon: "keys" },
];
const NOTHING: never[] = [];

function keyOf(item: Found): string {
  return `${item.group} ${item.id}`;
}

export function SearchDialog({ open, onOpen, onKeys }: { open: boolean; onOpen: (open: boolean) => void; onKeys: () => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpen}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog search" aria-describedby={undefined}>
          <Dialog.Title className="sr">Search</Dialog.Title>
          {open && <SearchField close={() => onOpen(false)} onKeys={onKeys} />}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function SearchField({ close, onKeys }: { close: () => void; onKeys: () => void }) {
  const [text, setText] = useState("");
  // The line that is marked, by what it is: the node's answer may move it. The first until a key or the hand marks another.
  const [marked, setMarked] = useState<string | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const navigate = useNavigate();
  const url = useUrl();
  const setUrl = useSetUrl();
  const topology = useScopedTopology();
  const planes = usePlanes();

  const pages = useMemo(
    () => roomsFor(planes.data?.items).map((room): Found => ({ group: "Pages", id: room.path, name: room.label, note: room.about, icon: room.icon })),
    [planes.data],
  );
  const { items: found, total } = useFound(text, url.at, pages, ACTIONS, topology.data?.nodes ?? NOTHING, topology.data?.edges ?? NOTHING);
  // The node counts nodes, or where the text has a bar, edges.
  const nodes = found.filter((item) => item.group === "Elements" && item.id.includes("|") === text.includes("|")).length;
  const caption = (group: string) => (group === "Elements" && total !== null && total > nodes ? `Elements · showing ${count(nodes)} of ${count(total)}` : group);

  const current = Math.max(0, found.findIndex((item) => keyOf(item) === marked));
  const setAt = (n: number) => setMarked(found[n] ? keyOf(found[n]) : null);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [current, found]);

  const compareFrom = topology.data && aWhileBefore(topology.data, url.at);
  const run = (item: Found | undefined) => {
    if (!item) return;
    close();
    if (item.group === "Pages") void navigate({ to: item.id, search: (old: object) => old });
    else if (item.group === "Elements") setUrl({ el: item.id });
    else if (item.id === "ranking") void navigate({ to: "/topology", search: (old: object) => ({ ...old, side: "ranking" as const }) });
    else if (item.id === "compare") void navigate({ to: "/topology", search: (old: Search) => ({ ...old, ...(compareFrom ? { diff: compareFrom } : {}) }) });
    else if (item.id === "live") setUrl({ at: undefined });
    else if (item.id === "theme") switchTheme();
    else if (item.id === "copy") void navigator.clipboard.writeText(location.href);
    else if (item.id === "keys") onKeys();
  };

  return (
    <>
      <div className="field">
        <Icon name="search" />
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="found"
          aria-activedescendant={found[current] ? `found-${current}` : undefined}
          aria-label="Search elements, pages, actions"
          placeholder="A name, an address, a page, an action"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setMarked(null);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") setAt(Math.min(current + 1, found.length - 1));
            else if (event.key === "ArrowUp") setAt(Math.max(current - 1, 0));
            else if (event.key === "Enter") run(found[current]);
            else return;
            event.preventDefault();
          }}
        />
        <Kbd>Esc</Kbd>
      </div>
      <ul id="found" role="listbox" aria-label="Found" ref={list}>
        {found.map((item, n) => (
          <li key={keyOf(item)} id={`found-${n}`} role="option" aria-selected={n === current} onMouseMove={() => setAt(n)} onClick={() => run(item)}>
            <Icon name={item.icon} />
            <span className={item.group === "Elements" ? "mono name" : "name"}>{item.name}</span>
            <span className="faint note">{item.note}</span>
            {found[n - 1]?.group !== item.group && <span className="group faint">{caption(item.group)}</span>}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="none faint">Nothing of that name in this scope and at this time.</p>}
    </>
  );
}

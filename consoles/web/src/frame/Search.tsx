// Ctrl-K: elements, pages and actions in one field.
import * as Dialog from "@radix-ui/react-dialog";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";

import { usePlanes } from "../api/queries";
import { Kbd } from "../parts/basics";
import { Icon } from "../parts/icons";
import { find, type Found } from "./find";
import { roomsFor } from "./rooms";
import { useScopedTopology, useSetUrl } from "./scope";
import { switchTheme } from "./theme";

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
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const navigate = useNavigate();
  const setUrl = useSetUrl();
  const topology = useScopedTopology();
  const planes = usePlanes();

  const found = useMemo(() => {
    const pages: Found[] = roomsFor(planes.data?.items).map((room) => ({ group: "Pages", id: room.path, name: room.label, note: room.about, icon: room.icon }));
    const actions: Found[] = [
      { group: "Actions", id: "live", name: "Back to live", note: "l", icon: "play" },
      { group: "Actions", id: "theme", name: "Dark or light", note: "Shift D", icon: "theme" },
      { group: "Actions", id: "copy", name: "Copy the link to this picture", note: "scope, time, filters, selection", icon: "copy" },
      { group: "Actions", id: "keys", name: "Keys", note: "?", icon: "keys" },
    ];
    return find(text, pages, actions, topology.data?.nodes ?? [], topology.data?.edges ?? []);
  }, [text, planes.data, topology.data]);

  const current = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [current, found]);

  const run = (item: Found | undefined) => {
    if (!item) return;
    close();
    if (item.group === "Pages") void navigate({ to: item.id, search: (old: object) => old });
    else if (item.group === "Elements") setUrl({ el: item.id });
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
            setAt(0);
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
          <li key={`${item.group} ${item.id}`} id={`found-${n}`} role="option" aria-selected={n === current} onMouseMove={() => setAt(n)} onClick={() => run(item)}>
            <Icon name={item.icon} />
            <span className={item.group === "Elements" ? "mono name" : "name"}>{item.name}</span>
            <span className="faint note">{item.note}</span>
            {found[n - 1]?.group !== item.group && <span className="group faint">{item.group}</span>}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="none faint">Nothing of that name in this scope and at this time.</p>}
    </>
  );
}

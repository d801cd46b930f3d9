// `?`: every key in one list.
import * as Dialog from "@radix-ui/react-dialog";

import { Button, Kbd } from "../parts/basics";
import { ASK_KEYS, FLOWS_KEYS, FRAME_KEYS, MESH_KEYS, TOPOLOGY_KEYS, type Key } from "./keys";

export function KeysDialog({ open, onOpen }: { open: boolean; onOpen: (open: boolean) => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpen}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog keys" aria-describedby={undefined}>
          <header>
            <Dialog.Title>Keys</Dialog.Title>
            <Dialog.Close asChild><span><Button icon="close" label="Close" onClick={() => onOpen(false)} /></span></Dialog.Close>
          </header>
          <div className="columns">
            <List title="Everywhere" keys={FRAME_KEYS} />
            <div>
              <List title="Topology" keys={TOPOLOGY_KEYS} />
              <List title="Mesh" keys={MESH_KEYS} />
              <List title="Flows" keys={FLOWS_KEYS} />
              <List title="Ask" keys={ASK_KEYS} />
              <List title="Tables" keys={[{ keys: "↑ ↓  PgUp PgDn", does: "move between rows" }, { keys: "Enter", does: "open the row's element" }]} />
            </div>
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function List({ title, keys }: { title: string; keys: readonly Key[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl>
        {keys.map((key) => (
          <div key={key.keys}>
            <dt><Kbd>{key.keys}</Kbd></dt>
            <dd>{key.does}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

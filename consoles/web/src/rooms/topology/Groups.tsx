// What the picture is grouped by, which groups there are, and which one is open. The way to a group for the keyboard.
import * as Popover from "@radix-ui/react-popover";

import { useSetUrl, useUrl } from "../../frame/scope";
import { GROUP_BY, type GroupBy } from "../../frame/search";
import { Button, Drop } from "../../parts/basics";
import { compact, count, plural } from "../../parts/format";
import { MOST_VISIBLE } from "../../parts/graph/cluster";
import type { Grouping } from "../../parts/graph/members";
import type { NodeTally } from "../../parts/graph/model";
import { Icon } from "../../parts/icons";

const NAMES: Record<GroupBy | "auto", string> = { auto: "Automatic", site: "Site", as: "AS", prefix: "Prefix", none: "None" };
const MOST_LISTED = 200;

export function GroupMenu({ grouping, groups }: { grouping: Grouping | null; groups: readonly NodeTally[] }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  const chosen = url.by ?? "auto";
  const text = grouping ? `Grouped by ${NAMES[grouping].replace("Site", "site").replace("Prefix", "prefix")}` : "Not grouped";
  return (
    <Drop trigger={<><Icon name="scope" /> <span>{text}</span> <Icon name="chevron" size={12} /></>} label={`Groups: ${text}`} align="end">
      <ul className="menu">
        {(["auto", ...GROUP_BY] as const).map((by) => (
          <li key={by}>
            <Popover.Close aria-pressed={chosen === by} onClick={() => setUrl({ by: by === "auto" ? undefined : by, open: undefined })}>
              <span className="check">{chosen === by && <Icon name="check" size={14} />}</span>
              <span className="grow">{NAMES[by]}</span>
              {by === "auto" && <span className="faint">above {count(MOST_VISIBLE)} elements</span>}
            </Popover.Close>
          </li>
        ))}
        {groups.length > 0 && <li className="rule" />}
      </ul>
      {groups.length > 0 && (
        <ul className="menu groups" aria-label="Open a group">
          {groups.slice(0, MOST_LISTED).map((group) => (
            <li key={group.group}>
              <Popover.Close onClick={() => setUrl({ open: group.group })}>
                <span className="grow name">{group.group}</span>
                <span className="faint">{group.kinds.slice(0, 2).map(([kind, n]) => `${compact(n)} ${kind}`).join(" · ")}</span>
                <span>{count(group.count)}</span>
              </Popover.Close>
            </li>
          ))}
        </ul>
      )}
      {groups.length > MOST_LISTED && <p className="faint">Showing {MOST_LISTED} of {plural(groups.length, "group")}.</p>}
    </Drop>
  );
}

/** Which group is open, over the picture. */
export function OpenGroup({ grouping }: { grouping: Grouping | null }) {
  const url = useUrl();
  const setUrl = useSetUrl();
  if (!grouping || url.open === undefined) return null;
  return (
    <nav className="open-group" aria-label="Open group">
      <button type="button" className="link-button" onClick={() => setUrl({ open: undefined })}>All groups</button>
      <span className="faint" aria-hidden="true">›</span>
      <strong>{url.open}</strong>
      <Button icon="close" label="Close the group" shortcut="Esc" onClick={() => setUrl({ open: undefined })} />
    </nav>
  );
}

// The small parts that every room is made of.
import * as Popover from "@radix-ui/react-popover";
import * as Tooltip from "@radix-ui/react-tooltip";
import { Link } from "@tanstack/react-router";
import { useEffect, useState, type ReactNode } from "react";

import { ApiError } from "../api/client";
import type { Plane } from "../api/types";
import { useNow } from "../frame/clock";
import { ago, moment, NOT_MEASURED } from "./format";
import { Icon, StateMark, type IconName } from "./icons";
import type { StateLook, Tone } from "./states";

/** A word that explains itself when pointed at or focused. */
export function Hint({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content className="hint" sideOffset={6} collisionPadding={8}>
          {text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}

/** A state: its shape, its colour, its word. */
export function State({ look, quiet = false }: { look: StateLook; quiet?: boolean }) {
  return (
    <span className={`state tone-${look.tone} state-${look.mark}${quiet ? " quiet" : ""}`} title={look.means}>
      <StateMark mark={look.mark} tone={look.tone} />
      {look.word}
    </span>
  );
}

/** A value in the colour of its tone, with the mark beside it unless all is well. */
export function Toned({ tone, children }: { tone: Tone; children: ReactNode }) {
  if (tone === "ok" || tone === "unknown") return <span className={tone === "unknown" ? "faint" : ""}>{children}</span>;
  return (
    <span className={`toned tone-${tone}`}>
      <StateMark mark={tone === "warn" ? "triangle" : "square"} tone={tone} />
      {children}
    </span>
  );
}

/** A moment; its full UTC text is in the tooltip. */
export function Time({ iso }: { iso: string | null | undefined }) {
  const now = useNow();
  if (!iso) return <span className="faint" title="not measured">{NOT_MEASURED}</span>;
  return <time dateTime={iso} title={iso}>{moment(iso, now)}</time>;
}

/** How long ago; counts on by itself. */
export function Age({ iso }: { iso: string | null | undefined }) {
  const now = useNow();
  if (!iso) return <span className="faint" title="never">{NOT_MEASURED}</span>;
  return <time dateTime={iso} title={iso}>{ago(iso, now)}</time>;
}

/** A name that leads to its element, in whatever room the reader is. */
export function ElementLink({ id, label }: { id: string; label?: string }) {
  return (
    <Link to="." search={(search) => ({ ...search, el: id })} className="link mono" title={id}>
      {label ?? id}
    </Link>
  );
}

export function Button(props: {
  icon?: IconName; children?: ReactNode; label?: string; onClick?: () => void; pressed?: boolean; disabled?: boolean; shortcut?: string;
}) {
  const { icon, children, label, onClick, pressed, disabled, shortcut } = props;
  return (
    <button type="button" className={children ? "button" : "button icon-only"} onClick={onClick} disabled={disabled} aria-label={label} title={label ? `${label}${shortcut ? ` (${shortcut})` : ""}` : undefined} aria-pressed={pressed}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd>{children}</kbd>;
}

/** A button that opens a small panel. */
export function Drop({ trigger, label, children, align = "start", className = "" }: { trigger: ReactNode; label: string; children: ReactNode; align?: "start" | "end"; className?: string }) {
  return (
    <Popover.Root>
      <Popover.Trigger className={`button drop ${className}`} aria-label={label}>
        {trigger}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover" align={align} sideOffset={6} collisionPadding={8} aria-label={label}>
          {children}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** Copies `text`; says so for a moment. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState<"copied" | "refused" | null>(null);
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(null), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () => {
    navigator.clipboard.writeText(text).then(() => setSaid("copied"), () => setSaid("refused"));
  };
  return (
    <button type="button" className="copy" onClick={copy} aria-label={label} title={said === "refused" ? "the browser refused; select and copy the text" : label}>
      <Icon name={said === "copied" ? "check" : "copy"} size={14} />
      <span className="sr" role="status">{said ?? ""}</span>
    </button>
  );
}

/** A word of a shell's command, whatever is in it. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The foot of every page: the same question outside the console, by API and by CLI; with a `body` it is posted. */
export function SameBy({ path, cli, body }: { path: string; cli?: string; body?: unknown }) {
  const posted = body === undefined ? "" : ` -H 'content-type: application/json' -d ${shellWord(JSON.stringify(body))}`;
  const curl = `curl -H "Authorization: Bearer $HOLM_TOKEN"${posted} "${location.origin}${path}"`;
  return (
    <footer className="same-by">
      <span><span className="faint">The same by API</span> <code>{body === undefined ? "GET" : "POST"} {path}</code> <Copy text={curl} label="Copy the API call as a curl command" /></span>
      {cli && <span><span className="faint">by CLI</span> <code>{cli}</code> <Copy text={cli} label="Copy the CLI command" /></span>}
    </footer>
  );
}

export function Section({ title, note, actions, children, flush = false }: { title: string; note?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <section className={flush ? "section flush" : "section"} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {note && <span className="faint">{note}</span>}
        {actions && <div className="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** Grey blocks where an answer will stand, in its size, so that nothing jumps. */
export function Waiting({ rows = 3 }: { rows?: number }) {
  return (
    <div className="waiting" aria-busy="true" role="status">
      <span className="sr">Waiting for the node</span>
      {Array.from({ length: rows }, (_, n) => <div key={n} className="bar" />)}
    </div>
  );
}

/** What went wrong, why, what to do, and the request id. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  const api = error instanceof ApiError ? error : null;
  return (
    <div className="failure" role="alert">
      <StateMark mark="square" tone="bad" />
      <div>
        <p>{error instanceof Error ? error.message : String(error)}</p>
        {api && api.code !== "no_connection" && (
          <p className="faint">
            {api.code} · request <span className="mono">{api.requestId ?? NOT_MEASURED}</span>
            {api.requestId && <Copy text={api.requestId} label="Copy the request id" />}
          </p>
        )}
      </div>
      {again && <Button onClick={again}>Ask again</Button>}
    </div>
  );
}

/** Nothing there, said in words, with what would put something there. */
export function Nothing({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="nothing">
      <p className="title">{title}</p>
      {children && <p className="faint">{children}</p>}
    </div>
  );
}

/** A plane that is off: the reason and the remedy in place of an empty chart. */
export function PlaneIsOff({ plane }: { plane: Plane }) {
  return (
    <div className="plane-off" role="note">
      <p className="title"><StateMark mark="slash" tone="unknown" /> The {plane.plane} plane is off at this node</p>
      <p>{plane.reason || "It gives no reason."}</p>
      {plane.remedy && <p><span className="faint">What to do:</span> {plane.remedy}</p>}
      <p className="faint">Off since <Time iso={plane.since} />. This is not the same as nothing being there.</p>
    </div>
  );
}

/** A plane that sees less than it could: a line above what it does see. */
export function PlaneIsDegraded({ plane }: { plane: Plane }) {
  return (
    <p className="notice tone-warn-soft" role="note">
      <StateMark mark="triangle" tone="warn" />
      <span>The {plane.plane} plane here is degraded: {plane.reason}. {plane.remedy && <span className="dim">What to do: {plane.remedy}</span>}</span>
    </p>
  );
}

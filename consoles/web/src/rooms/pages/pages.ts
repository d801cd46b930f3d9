// What paging looks like and in which words; no React here.
import type { PageConnector, PageConnectorAsked, PageDelivery, PageRoute, PageRouteAsked } from "../../api/types";
import { plural } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export type Provider = NonNullable<PageConnector["provider"]>;

export const STATE_LOOKS: Record<PageDelivery["state"], StateLook> = {
  queued: { tone: "warn", mark: "clock", word: "queued", means: "it is to be delivered" },
  delivered: { tone: "ok", mark: "disk", word: "delivered", means: "the provider took it" },
  folded: { tone: "ok", mark: "ring", word: "in a summary", means: "it was told within a summary, since there was more than may be told one by one" },
  dead: { tone: "bad", mark: "square", word: "dead", means: "it was given up or refused; it can be replayed" },
  dropped: { tone: "unknown", mark: "dash", word: "dropped", means: "it was not wanted any more before it was delivered" },
};

const EVENT_WORDS: Record<PageDelivery["event"], string> = {
  trigger: "paged", repeat: "paged again, since nobody looked at it", reopen: "paged, as it is open again",
  acknowledge: "told that somebody looks at it", resolve: "told that it is over", summary: "paged for many at once",
};

export const eventText = (event: PageDelivery["event"]): string => EVENT_WORDS[event];

/** Fields of a connector that a provider has, in the order of the form. */
export type TextField = "url" | "user" | "from" | "channel" | "project" | "issue_type" | "done";
export interface ProviderForm {
  label: string;
  fields: readonly TextField[];
  secret: string;
  hears: boolean;
}

export const PROVIDERS: Record<Provider, ProviderForm> = {
  email: { label: "E-mail (SMTP with TLS)", fields: ["url", "from", "user"], secret: "password of the user; none without a user", hears: false },
  jira: { label: "Jira", fields: ["url", "project", "user", "issue_type", "done"], secret: "API token of the user; without a user a personal access token", hears: true },
  opsgenie: { label: "Opsgenie", fields: ["url"], secret: "API key of an API integration", hears: true },
  pagerduty: { label: "PagerDuty", fields: ["url"], secret: "integration key of an Events API v2 integration", hears: true },
  servicenow: { label: "ServiceNow", fields: ["url", "user", "done"], secret: "password of the user", hears: true },
  slack: { label: "Slack", fields: ["channel", "url"], secret: "with a channel a bot token; without one the URL of an incoming webhook", hears: true },
  teams: { label: "Microsoft Teams", fields: [], secret: "URL of a workflow that posts to a channel", hears: true },
  webhook: { label: "Webhook", fields: ["url"], secret: "what bodies are signed with, at least 16 bytes", hears: true },
};

export const FIELD_LABELS: Record<TextField, { label: string; hint: string }> = {
  url: { label: "Address", hint: "https://…; of mail smtp://HOST:PORT; empty for the provider's own" },
  user: { label: "User", hint: "who logs in" },
  from: { label: "From", hint: "holm@example.org" },
  channel: { label: "Channel id", hint: "C0123456789" },
  project: { label: "Project key", hint: "OPS" },
  issue_type: { label: "Issue type", hint: "Task" },
  done: { label: "Ends by", hint: "Jira: a transition or status; ServiceNow: a close code" },
};

export interface ConnectorDraft {
  name: string;
  provider: Provider;
  texts: Partial<Record<TextField, string>>;
  to: string;
  tls: "starttls" | "implicit";
  api: 2 | 3;
  ca: string;
  sites: string;
  secret: string;
  inbound: string;
  paused: boolean;
  pagesAMinute: string;
  attemptsAnHour: string;
  giveUpAfterH: string;
}

export function draftOf(connector: PageConnector | undefined): ConnectorDraft {
  const texts: Partial<Record<TextField, string>> = {};
  if (connector) for (const field of Object.keys(FIELD_LABELS) as TextField[]) texts[field] = connector[field] ?? "";
  return {
    name: connector?.name ?? "", provider: connector?.provider ?? "pagerduty", texts, to: connector?.to.join(", ") ?? "", tls: connector?.tls ?? "starttls",
    api: connector?.api === 2 ? 2 : 3, ca: connector?.ca ?? "", sites: connector?.sites.join(", ") ?? "", secret: "", inbound: "", paused: connector?.paused ?? false,
    pagesAMinute: connector ? String(connector.pages_a_minute) : "", attemptsAnHour: connector ? String(connector.attempts_an_hour) : "", giveUpAfterH: connector ? String(connector.give_up_after_h) : "",
  };
}

/** The parts of a list that somebody typed. */
export const listed = (text: string): string[] => text.split(/[\s,]+/).filter((part) => part !== "");

/** A whole number that somebody typed; left out where there is none. */
const number = (name: string, text: string): Record<string, number> => (/^\d+$/.test(text.trim()) ? { [name]: Number(text.trim()) } : {});

/** What is asked of the node: only what the provider has, and secrets only where they are given anew. */
export function askedOf(draft: ConnectorDraft): PageConnectorAsked {
  const form = PROVIDERS[draft.provider];
  const texts: Partial<Record<TextField, string>> = {};
  for (const field of form.fields) {
    const text = draft.texts[field]?.trim();
    if (text) texts[field] = text;
  }
  return {
    provider: draft.provider,
    ...texts,
    ...(draft.provider === "email" ? { to: listed(draft.to), tls: draft.tls } : {}),
    ...(draft.provider === "jira" ? { api: draft.api } : {}),
    ...(draft.ca.trim() ? { ca: draft.ca } : {}),
    sites: listed(draft.sites),
    ...(draft.secret ? { secret: draft.secret } : {}),
    ...(form.hears && draft.inbound ? { inbound_secret: draft.inbound } : {}),
    paused: draft.paused,
    ...number("pages_a_minute", draft.pagesAMinute),
    ...number("attempts_an_hour", draft.attemptsAnHour),
    ...number("give_up_after_h", draft.giveUpAfterH),
  };
}

/** How a connector stands. */
export function connectorLook(connector: Pick<PageConnector, "problem" | "down_until" | "paused" | "dead" | "conflicts">): StateLook {
  if (connector.paused) return { tone: "unknown", mark: "slash", word: "paused", means: "nothing is sent; what is queued waits" };
  if (connector.problem) return { tone: "bad", mark: "square", word: "cannot", means: connector.problem };
  if (connector.down_until) return { tone: "warn", mark: "triangle", word: "down", means: "the provider fails; it is tried again by itself" };
  if (connector.dead > 0) return { tone: "warn", mark: "square", word: "dead letters", means: "some messages were given up; they can be replayed" };
  if (connector.conflicts.length > 0) return { tone: "warn", mark: "triangle", word: "disputed", means: "it was edited apart; the first edit counts until somebody edits it again" };
  return { tone: "ok", mark: "disk", word: "good", means: "nothing waits that should not" };
}

/** Where a connector leads, for the list. */
export function placeText(connector: Pick<PageConnector, "url" | "channel" | "project" | "to">): string {
  return [connector.url, connector.channel, connector.project, ...connector.to].filter((part): part is string => part !== null && part !== "").join(" · ");
}

/** Seconds as people write them: `90s`, `5m`, `2h`, `1d`; and back. */
export function lengthText(seconds: number): string {
  for (const [unit, of] of [["d", 86_400], ["h", 3_600], ["m", 60]] as const) if (seconds > 0 && seconds % of === 0) return `${seconds / of}${unit}`;
  return `${seconds}s`;
}
export function lengthOf(text: string): number | null {
  const found = /^(\d{1,7})\s*(s|m|h|d)?$/.exec(text.trim());
  if (!found) return null;
  const unit = { s: 1, m: 60, h: 3_600, d: 86_400 }[found[2] ?? "s"] ?? 1;
  return Number(found[1]) * unit;
}

export interface RouteDraft {
  name: string;
  severity: PageRoute["severity"];
  connectors: readonly string[];
  sites: string;
  targets: string;
  planes: string;
  kinds: string;
  resolve: boolean;
  after: string;
  repeat: string;
  paused: boolean;
}

export function routeDraftOf(route: PageRoute | undefined): RouteDraft {
  return {
    name: route?.name ?? "", severity: route?.severity ?? "critical", connectors: route?.connectors ?? [], sites: route?.sites.join(", ") ?? "", targets: route?.targets.join(", ") ?? "",
    planes: route?.planes.join(", ") ?? "", kinds: route?.kinds.join(", ") ?? "", resolve: route?.resolve ?? true, after: route && route.after_s > 0 ? lengthText(route.after_s) : "",
    repeat: route && route.repeat_s !== null ? lengthText(route.repeat_s) : "", paused: route?.paused ?? false,
  };
}

/** What is asked of the node, or what is not right yet. */
export function routeAskedOf(draft: RouteDraft): PageRouteAsked | string {
  const after = draft.after.trim() === "" ? 0 : lengthOf(draft.after);
  const repeat = draft.repeat.trim() === "" ? undefined : lengthOf(draft.repeat);
  if (after === null) return "After: write 90s, 5m, 2h or 1d";
  if (repeat === null) return "Again after: write 90s, 5m, 2h or 1d";
  if (draft.connectors.length === 0) return "Choose a connector";
  return {
    severity: draft.severity, connectors: [...draft.connectors], sites: listed(draft.sites), targets: listed(draft.targets), planes: listed(draft.planes), kinds: listed(draft.kinds),
    resolve: draft.resolve, after_s: after, ...(repeat === undefined ? {} : { repeat_s: repeat }), paused: draft.paused,
  };
}

/** What a route takes, in a line. */
export function takesText(route: Pick<PageRoute, "severity" | "sites" | "targets" | "planes" | "kinds">): string {
  const parts = [route.severity === "critical" ? "critical" : `${route.severity} and graver`];
  for (const [word, all] of [["at", route.sites], ["about", route.targets], ["from", route.planes], ["of", route.kinds]] as const) if (all.length > 0) parts.push(`${word} ${all.join(", ")}`);
  return parts.join(", ");
}

/** What the list of messages says of itself. */
export function statesText(states: Readonly<Record<string, number>>): string {
  const waits = states["queued"] ?? 0;
  const dead = states["dead"] ?? 0;
  const all = Object.values(states).reduce((sum, count) => sum + count, 0);
  return `${plural(all, "message")}${waits > 0 ? `, ${waits} queued` : ""}${dead > 0 ? `, ${plural(dead, "dead letter")}` : ""}`;
}

/** A link to where it is at the provider; nothing that a browser would run. */
export const safeUrl = (url: string | null): string | undefined => (url !== null && /^https?:\/\//i.test(url) ? url : undefined);

// What the coloured picture says, in a line over it: what fails, how much it touches, and the way to the lists.
import { isLoggedOut } from "../../api/client";
import { useWhatIf } from "../../api/queries";
import type { Impact } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { StateMark } from "../../parts/icons";

export function ImpactStrip() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const impact = useWhatIf(url.fail, url.at);
  if (!url.fail) return null;
  if (url.fail2) {
    return (
      <div className="impact-strip" role="status">
        <p><StateMark mark="square" tone="bad" /> If <strong className="mono">{url.fail}</strong> or <strong className="mono">{url.fail2}</strong> fails</p>
        <span className="actions"><Button icon="close" label="Hide what breaks" shortcut="Esc" onClick={() => setUrl({ fail: undefined, fail2: undefined })} /></span>
      </div>
    );
  }
  return (
    <div className="impact-strip" role="status">
      <p><StateMark mark="square" tone="bad" /> If <strong className="mono">{url.fail}</strong> fails</p>
      <p className="dim">{impact.data ? sentence(impact.data.totals) : impact.error && !isLoggedOut(impact.error) ? "it cannot be told; its panel says why" : "…"}</p>
      <span className="actions">
        {url.el !== url.fail && <Button onClick={() => setUrl({ el: url.fail })}>Lists</Button>}
        <Button icon="close" label="Hide what breaks" shortcut="Esc" onClick={() => setUrl({ fail: undefined, fail2: undefined })} />
      </span>
    </div>
  );
}

/** The totals that are not zero. */
export function sentence(totals: Impact["totals"]): string {
  const parts = [
    totals.broken_paths > 0 && `${plural(totals.broken_paths, "path")} break${totals.broken_paths === 1 ? "s" : ""}`,
    totals.rerouted_paths > 0 && `${count(totals.rerouted_paths)} go${totals.rerouted_paths === 1 ? "es" : ""} another way`,
    totals.impacted_services > 0 && `${plural(totals.impacted_services, "service")} need${totals.impacted_services === 1 ? "s" : ""} it`,
    totals.impacted_prefixes > 0 && `${plural(totals.impacted_prefixes, "prefix", "prefixes")} behind it`,
    totals.disconnected > 0 && `${count(totals.disconnected)} cut off`,
    totals.impacted_slos > 0 && `${plural(totals.impacted_slos, "SLO")} touched`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(" · ") : "nothing that was observed hangs on it";
}

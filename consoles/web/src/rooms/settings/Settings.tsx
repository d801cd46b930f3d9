// Settings: the planes with their reasons, this node, how the console looks.
import * as ToggleGroup from "@radix-ui/react-toggle-group";

import { isLoggedOut } from "../../api/client";
import { useMe, usePlanes } from "../../api/queries";
import type { Me, Plane } from "../../api/types";
import { useNow } from "../../frame/clock";
import { setTheme, useTheme, type Theme } from "../../frame/theme";
import { Copy, Failure, Nothing, SameBy, Section, State, Time, Toned, Waiting } from "../../parts/basics";
import { ahead } from "../../parts/format";
import { PLANE_LOOKS, svidTone } from "../../parts/states";
import { Counters } from "../mesh/Counters";
import "./settings.css";

export function Settings() {
  const planes = usePlanes();
  const me = useMe();
  return (
    <div className="room">
      <header className="room-head"><h1>Settings</h1></header>
      <Section title="Planes" note={me.data && <>what {me.data.site} observes, and why not</>} flush>
        {planes.error && !isLoggedOut(planes.error) && <Failure error={planes.error} again={() => void planes.refetch()} />}
        {planes.isPending && <Waiting rows={4} />}
        {planes.data?.items.length === 0 && <Nothing title="This node has no plane">It replicates and serves what other sites observe.</Nothing>}
        <ul className="planes">{planes.data?.items.map((plane) => <li key={plane.plane}><PlaneCard plane={plane} /></li>)}</ul>
      </Section>
      <div className="two">
        <Section title="This node">{me.data ? <Node me={me.data} /> : <Waiting rows={5} />}</Section>
        <Section title="Appearance"><Appearance /></Section>
      </div>
      <SameBy path="/v1/planes" cli="holm planes" />
    </div>
  );
}

function PlaneCard({ plane }: { plane: Plane }) {
  return (
    <article className={`plane ${plane.state}`} aria-label={`${plane.plane} plane`}>
      <header>
        <h3>{plane.plane}</h3>
        <State look={PLANE_LOOKS[plane.state]} />
        <span className="faint">since <Time iso={plane.since} /></span>
        {plane.method && <span className="method faint">by {plane.method}</span>}
      </header>
      {plane.reason && <p>{plane.reason}</p>}
      {plane.remedy && <p><span className="faint">What to do:</span> {plane.remedy}</p>}
      {plane.state !== "off" && <Counters counters={plane.counters} />}
    </article>
  );
}

function Node({ me }: { me: Me }) {
  const now = useNow();
  const valid = me.svid.state === "valid";
  const tone = valid ? svidTone(me.svid.not_after, now) : "bad";
  return (
    <dl className="facts">
      <div><dt>Site</dt><dd>{me.site}</dd></div>
      <div><dt>Node</dt><dd>{me.node}</dd></div>
      <div><dt>SPIFFE ID</dt><dd className="mono">{me.spiffe_id} <Copy text={me.spiffe_id} label="Copy the SPIFFE ID" /></dd></div>
      <div><dt>Trust domain</dt><dd className="mono">{me.trust_domain}</dd></div>
      <div><dt>SVID</dt><dd><Toned tone={tone}>{valid ? "ends" : `${me.svid.state.replaceAll("_", " ")}: end`} {ahead(me.svid.not_after, now)}</Toned>{valid && <span className="faint"> renewed {ahead(me.svid.renew_at, now)}</span>}</dd></div>
      <div><dt>Tenant</dt><dd>{me.tenant}</dd></div>
      <div><dt>Your role</dt><dd>{me.role}</dd></div>
      <div><dt>Version</dt><dd>{me.version}</dd></div>
    </dl>
  );
}

function Appearance() {
  const theme = useTheme();
  return (
    <>
      <ToggleGroup.Root className="toggle" type="single" value={theme} aria-label="Theme" onValueChange={(next) => next && setTheme(next as Theme)}>
        <ToggleGroup.Item value="system">As the system</ToggleGroup.Item>
        <ToggleGroup.Item value="dark">Dark</ToggleGroup.Item>
        <ToggleGroup.Item value="light">Light</ToggleGroup.Item>
      </ToggleGroup.Root>
      <p className="faint">Remembered in this browser.</p>
    </>
  );
}

// Flows: who talks to whom and how much, by the word of routers and switches; and how these do.
import * as ToggleGroup from "@radix-ui/react-toggle-group";

import { usePlanes } from "../../api/queries";
import { useSetUrl, useUrl } from "../../frame/scope";
import { PlaneIsDegraded, PlaneIsOff } from "../../parts/basics";
import { StoreState } from "../ask/StoreState";
import { Explore } from "./Explore";
import { Exporters } from "./Exporters";
import { Interfaces } from "./Interfaces";
import { Unusual } from "./Unusual";
import "../ask/ask.css";
import "./flows.css";

export function Flows() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const planes = usePlanes();
  const plane = planes.data?.items.find((each) => each.plane === "flow");
  const off = plane?.state === "off";
  const tab = url.tab ?? "explore";
  return (
    <div className="room flows">
      <header className="room-head">
        <h1>Flows</h1>
        <p className="faint">who talks to whom, and how much</p>
        <div className="actions">
          <ToggleGroup.Root className="toggle" type="single" value={tab} aria-label="Page" onValueChange={(next) => next && setUrl({ tab: next === "explore" ? undefined : next, window: undefined })}>
            <ToggleGroup.Item value="explore">Explore</ToggleGroup.Item>
            <ToggleGroup.Item value="exporters">Exporters</ToggleGroup.Item>
            <ToggleGroup.Item value="interfaces">Interfaces</ToggleGroup.Item>
            <ToggleGroup.Item value="unusual">Unusual</ToggleGroup.Item>
          </ToggleGroup.Root>
        </div>
      </header>
      {plane && off && <PlaneIsOff plane={plane} />}
      {plane?.state === "degraded" && <PlaneIsDegraded plane={plane} />}
      <StoreState />
      {tab === "explore" && <Explore off={off} />}
      {tab === "exporters" && <Exporters off={off} />}
      {tab === "interfaces" && <Interfaces off={off} />}
      {tab === "unusual" && <Unusual off={off} />}
    </div>
  );
}

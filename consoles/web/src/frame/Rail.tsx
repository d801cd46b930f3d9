// The left rail: the rooms that exist here, and whether what fills them is off.
import { Link } from "@tanstack/react-router";

import { useMe, usePlanes } from "../api/queries";
import { Icon, StateMark } from "../parts/icons";
import { PLANE_LOOKS } from "../parts/states";
import { roomsFor } from "./rooms";

export function Rail() {
  const planes = usePlanes();
  const me = useMe();
  const rooms = roomsFor(planes.data?.items);
  return (
    <nav className="rail" aria-label="Rooms">
      <ul>
        {rooms.map((room) => {
          const plane = planes.data?.items.find((each) => each.plane === room.plane);
          const look = plane && plane.state !== "running" ? PLANE_LOOKS[plane.state] : null;
          return (
            <li key={room.path}>
              <Link to={room.path} search={(old) => ({ ...(old.site ? { site: old.site } : {}), ...(old.at ? { at: old.at } : {}) })} activeOptions={{ exact: room.path === "/", includeSearch: false }} title={`${room.about} (g ${room.key})`}>
                <Icon name={room.icon} />
                <span className="label">{room.label}</span>
                {look && <span className="flag" title={`the ${room.plane ?? ""} plane is ${look.word}`}><StateMark mark={look.mark} tone={look.tone} /><span className="sr">{look.word}</span></span>}
              </Link>
            </li>
          );
        })}
      </ul>
      {me.data && (
        <p className="rail-foot faint" title={me.data.spiffe_id}>
          <span>{me.data.site}</span> / {me.data.node}
          <br />
          {me.data.role} · {me.data.version}
        </p>
      )}
    </nav>
  );
}

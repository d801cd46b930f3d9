// One site of the mesh: how old what it says is, its nodes, who reaches it and whom it reaches.
import { Age, Button, State } from "../../parts/basics";
import { count } from "../../parts/format";
import { PEER_LOOKS, SITE_LOOKS } from "../../parts/states";
import { Forget, mayForget } from "./Forget";
import { lagText, type Seen } from "./lag";
import type { Drawn } from "./MeshPicture";
import { standingOf } from "./reach";

/** Names shown of a list; the matrix and the API have the rest. */
const NAMES_MOST = 12;

export function SiteSide({ drawn: { view, reach }, seen, onPick, onClose }: { drawn: Drawn; seen: Seen; onPick: (site: string) => void; onClose: () => void }) {
  const { reachedBy, notReachedBy, says } = standingOf(reach, seen.site);
  const nodes = view.members.filter((member) => member.site === seen.site);
  const said = view.views.filter((each) => each.site === seen.site);
  return (
    <aside className="mesh-side" aria-label={`Site ${seen.site}`}>
      <header><h3>{seen.site}</h3><Button icon="close" label="Close" shortcut="Esc" onClick={onClose} /></header>
      <dl className="facts">
        <div><dt>State</dt><dd><State look={SITE_LOOKS[seen.state]} /></dd></div>
        <div><dt>Lag</dt><dd>{seen.state === "here" ? "none: it is this node's own" : lagText(seen.lagMs)}{seen.asOf && seen.state !== "here" && <span className="faint">, picture of <Age iso={seen.asOf} /></span>}</dd></div>
        <div><dt>Nodes</dt><dd>{seen.site === view.site && <div>{view.node}, this node</div>}{nodes.map((node) => <div key={node.node} className="side-node">{node.node} <State look={PEER_LOOKS[node.state]} quiet /></div>)}</dd></div>
        <div><dt>Its view</dt><dd>{said.length === 0 ? <span className="faint">none lately: it says nothing of whom it reaches</span> : said.map((each) => <div key={each.node}>of {each.node}, <Age iso={each.as_of} /></div>)}</dd></div>
        <div><dt>Reached by</dt><dd><Names names={reachedBy} onPick={onPick} /></dd></div>
        <div><dt>Tried in vain</dt><dd><Names names={notReachedBy} onPick={onPick} none="nobody" /></dd></div>
        {says && (
          <>
            <div><dt>Reaches</dt><dd><Names names={says.reaches} onPick={onPick} /></dd></div>
            <div><dt>Does not reach</dt><dd><Names names={says.not} onPick={onPick} none="nobody in vain" /></dd></div>
            {says.notTried.length > 0 && <div><dt>Did not try</dt><dd><Names names={says.notTried} onPick={onPick} /></dd></div>}
          </>
        )}
      </dl>
      {mayForget(view, seen.site) && <Forget site={seen.site} />}
    </aside>
  );
}

function Names({ names, onPick, none = "nobody" }: { names: readonly string[]; onPick: (site: string) => void; none?: string }) {
  if (names.length === 0) return <span className="faint">{none}</span>;
  return (
    <span className="names">
      {names.slice(0, NAMES_MOST).map((name) => <button key={name} type="button" className="link-button" onClick={() => onPick(name)}>{name}</button>)}
      {names.length > NAMES_MOST && <span className="faint">and {count(names.length - NAMES_MOST)} more</span>}
    </span>
  );
}

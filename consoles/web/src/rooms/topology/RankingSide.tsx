// Single points of failure: every node by what breaks if it alone fails, worst first. Choosing one shows it in the picture.
import { useState } from "react";

import { isLoggedOut, rankingPath } from "../../api/client";
import { useRanking } from "../../api/queries";
import type { Ranking } from "../../api/types";
import { useSetUrl, useUrl } from "../../frame/scope";
import { Button, Failure, Time, Waiting } from "../../parts/basics";
import { count, plural } from "../../parts/format";
import { PickList } from "../../parts/pick";
import { Freshness, Notes, Same, Side } from "./Side";

const FIRST = 100;
const MOST = 10_000;

export function RankingSide() {
  const url = useUrl();
  const setUrl = useSetUrl();
  const [limit, setLimit] = useState(FIRST);
  const ranking = useRanking(url.at, limit);
  const cut = ranking.data && ranking.data.items.length < ranking.data.total;
  return (
    <Side title="What would break most" onClose={() => setUrl({ side: undefined })} busy={ranking.isPlaceholderData}>
      {ranking.error && !isLoggedOut(ranking.error) && <Failure error={ranking.error} again={() => void ranking.refetch()} />}
      {ranking.isPending && <Waiting rows={8} />}
      {ranking.data && (
        <>
          <p className="faint side-note">
            {ranking.data.total === 0 ? "Nothing that was observed breaks anything by failing alone." : cut ? `Showing ${count(ranking.data.items.length)} of ${plural(ranking.data.total, "node")} that break something alone.` : `All ${plural(ranking.data.total, "node")} that break something alone.`}
            {" "}
            {ranking.data.live ? <>Ranked at <Time iso={ranking.data.at} />; it does not follow by itself.</> : <>As it was at <Time iso={ranking.data.at} />.</>}
          </p>
          <PickList
            label="Nodes by blast radius"
            items={ranking.data.items}
            itemKey={(item) => item.id}
            rowPx={48}
            chosen={(item) => item.id === url.fail}
            onPick={(item) => setUrl({ fail: item.id === url.fail ? undefined : item.id, fail2: undefined, ...(url.el ? { el: item.id } : {}) })}
            show={(item, index) => <Row item={item} rank={index + 1} />}
          />
          <div className="side-foot">
            {ranking.data.live && <Button onClick={() => void ranking.refetch()} disabled={ranking.isFetching}>{ranking.isFetching ? "Ranking…" : "Rank again"}</Button>}
            {cut && limit < MOST && <Button onClick={() => setLimit(Math.min(MOST, limit * 10))}>Show more</Button>}
            <Notes notes={ranking.data.coverage.notes} />
            <Freshness freshness={ranking.data.freshness} />
            <Same path={rankingPath(url.at, limit)} cli={`holm spof${url.at ? ` --at ${url.at}` : ""}`} />
          </div>
        </>
      )}
    </Side>
  );
}

function Row({ item, rank }: { item: Ranking["items"][number]; rank: number }) {
  const parts = [
    item.broken_paths > 0 && plural(item.broken_paths, "path"),
    item.impacted_services > 0 && plural(item.impacted_services, "service"),
    item.disconnected > 0 && `${count(item.disconnected)} cut off`,
  ].filter(Boolean);
  return (
    <>
      <span className="rank faint">{rank}</span>
      <span className="what">
        <span className="mono name" title={item.id}>{item.id}</span>
        <span className="faint">{parts.join(" · ")}</span>
      </span>
      <strong className="radius" title="blast radius: broken paths, impacted services and nodes cut off together">{count(item.blast_radius)}</strong>
    </>
  );
}

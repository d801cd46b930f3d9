// Silences: for a while nobody is told of what matches.
import { useState } from "react";

import { api, isLoggedOut, nodeNow } from "../../api/client";
import { queryClient, useMe, useSilences } from "../../api/queries";
import type { Silence } from "../../api/types";
import { Button, Failure, Section, State, Time } from "../../parts/basics";
import { plural } from "../../parts/format";
import { Table, type Column } from "../../parts/table";
import { hoursText, matchersOf, SILENCE_HOURS, SILENCE_LOOKS } from "./alerts";

const matches = (silence: Silence) => Object.entries(silence.matchers).map(([name, pattern]) => `${name}=${pattern}`).join(" ");

export function Silences() {
  const me = useMe();
  const list = useSilences();
  const [making, setMaking] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const editor = me.data !== undefined && me.data.role !== "viewer";
  const run = (work: Promise<unknown>) => {
    setError(null);
    return work
      .then(() => queryClient.invalidateQueries({ predicate: ({ queryKey: [of] }) => String(of).startsWith("alert") }))
      .then(() => setMaking(false))
      .catch((failed: unknown) => setError(failed instanceof Error ? failed : new Error(String(failed))));
  };
  const columns: readonly Column<Silence>[] = [
    { id: "state", title: "State", width: "100px", value: (row) => row.state, show: (row) => <State look={SILENCE_LOOKS[row.state]} /> },
    { id: "matchers", title: "Matches", width: "minmax(200px, 2fr)", value: matches, show: (row) => <span className="mono" title={matches(row)}>{matches(row)}</span> },
    { id: "until", title: "Until", width: "150px", value: (row) => row.until, show: (row) => <Time iso={row.until} /> },
    { id: "silences", title: "Silences", width: "96px", numeric: true, value: (row) => row.silences, show: (row) => plural(row.silences, "alert") },
    { id: "by", title: "By", width: "120px", value: (row) => row.created_by },
    { id: "comment", title: "Why", width: "minmax(120px, 1.5fr)", value: (row) => row.comment },
    { id: "end", title: "Action", width: "110px", value: () => "", show: (row) => (editor && row.state !== "over" ? <Button onClick={() => void run(api.removeSilence(row.id))}>Take away</Button> : null) },
  ];
  return (
    <>
      {list.error && !isLoggedOut(list.error) && <Failure error={list.error} again={() => void list.refetch()} />}
      {list.data && (
        <Section title="Silences" note={plural(list.data.items.filter((each) => each.state === "on").length, "silence") + " on"} actions={editor && <Button icon="plus" pressed={making} onClick={() => setMaking(!making)}>New silence</Button>} flush>
          {making && <Making onMake={(silence) => void run(api.createSilence(silence))} />}
          {error && !isLoggedOut(error) && <Failure error={error} />}
          <Table label="Silences" columns={columns} rows={list.data.items} rowKey={(row) => row.id} empty="None: what fires is told." />
        </Section>
      )}
    </>
  );
}

function Making({ onMake }: { onMake: (silence: { matchers: Record<string, string>; until: string; comment: string }) => void }) {
  const [text, setText] = useState("");
  const [hours, setHours] = useState<number>(4);
  const [comment, setComment] = useState("");
  const matchers = matchersOf(text);
  const wrong = typeof matchers === "string" ? matchers : null;
  const make = () => {
    if (typeof matchers !== "string") onMake({ matchers, until: new Date(nodeNow() + hours * 3_600_000).toISOString(), comment: comment.trim() });
  };
  return (
    <form className="alert-silence" onSubmit={(event) => { event.preventDefault(); make(); }}>
      <label>What matches, all of it <input className="alert-ask mono" value={text} maxLength={1_000} placeholder="rule=probes-* site=berlin" aria-invalid={text !== "" && wrong !== null} onChange={(event) => setText(event.target.value)} /></label>
      <label>For <select className="alert-ask" value={hours} onChange={(event) => setHours(Number(event.target.value))}>{SILENCE_HOURS.map((each) => <option key={each} value={each}>{hoursText(each)}</option>)}</select></label>
      <label>Why <input className="alert-ask" value={comment} maxLength={1_000} onChange={(event) => setComment(event.target.value)} /></label>
      <p className="faint">{text !== "" && wrong ? wrong : "rule, severity, site, target, a label, or a column of by; * is anything. What fires already is ended in its incident; taking the silence away tells it again."}</p>
      <button type="submit" className="button" disabled={wrong !== null}>Silence</button>
    </form>
  );
}

// Which flows: a field with completion by the node, which knows the fields, the operators and what the last hour had.
import { useEffect, useId, useRef, useState, type KeyboardEvent, type Ref } from "react";

import { useFlowComplete } from "../../api/queries";
import type { FlowCompletion } from "../../api/types";
import { Icon, StateMark } from "../../parts/icons";

interface Props {
  filter: string;
  onFilter: (filter: string | undefined) => void;
  trouble: { text: string; from: number; to: number } | null;
  ref: Ref<HTMLInputElement>;
}

/** A key that is held does not ask the node for each letter. */
const REST_MS = 160;

export function FilterField({ filter, onFilter, trouble, ref }: Props) {
  const [text, setText] = useState(filter);
  const [seen, setSeen] = useState(filter);
  const [open, setOpen] = useState(false);
  const [caret, setCaret] = useState(filter.length);
  const [marked, setMarked] = useState(-1);
  const own = useRef<HTMLInputElement | null>(null);
  const list = useId();
  // Back, forward and a row that was chosen change the filter: the field follows.
  if (seen !== filter) {
    setSeen(filter);
    setText(filter);
    setCaret(filter.length);
  }
  const asked = useRested(text.slice(0, caret), REST_MS);
  const answer = useFlowComplete(asked, open);
  const current = answer.data && !answer.isPlaceholderData && asked === text.slice(0, caret) ? answer.data : undefined;
  const words = open ? (current?.words ?? []).slice(0, 10) : [];

  const take = (completion: FlowCompletion, word: string) => {
    // The node counts characters, JavaScript halves of some of them.
    const begin = Array.from(text.slice(0, caret)).slice(0, completion.from).join("");
    const next = `${begin}${word} `;
    setText(next + text.slice(caret).trimStart());
    setCaret(next.length);
    setMarked(-1);
    requestAnimationFrame(() => own.current?.setSelectionRange(next.length, next.length));
  };
  const keys = (event: KeyboardEvent) => {
    const does = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (words.length > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      does();
      setMarked((marked + (event.key === "ArrowDown" ? 1 : marked < 0 ? 0 : -1) + words.length) % words.length);
    } else if (words.length > 0 && current && ((event.key === "Tab" && !event.shiftKey) || (event.key === "Enter" && marked >= 0))) {
      does();
      take(current, words[Math.max(0, marked)]?.word ?? "");
    } else if (event.key === "Enter") {
      does();
      setOpen(false);
      onFilter(text.trim() || undefined);
    } else if (event.key === "Escape") {
      does();
      if (open) setOpen(false);
      else own.current?.blur();
    } else if (event.key === "ArrowDown") {
      does();
      setOpen(true);
    }
  };

  return (
    <div className="flow-filter">
      <div className={`flow-field${trouble ? " wrong" : ""}`}>
        <Icon name="search" size={14} />
        <input
          ref={(input) => {
            own.current = input;
            if (typeof ref === "function") ref(input);
            else if (ref) ref.current = input;
          }}
          role="combobox"
          aria-label="Which flows"
          aria-expanded={words.length > 0}
          aria-controls={list}
          aria-autocomplete="list"
          aria-activedescendant={words.length > 0 && marked >= 0 ? `${list}-${marked}` : undefined}
          aria-invalid={trouble !== null}
          placeholder="All flows; narrow them, as src = 10.0.0.0/8 and dst_port in (80, 443)"
          value={text}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => {
            setText(event.target.value);
            setCaret(event.target.selectionStart ?? event.target.value.length);
            setOpen(true);
            setMarked(-1);
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? text.length)}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={keys}
        />
        {text !== filter && <button type="button" className="button small" onClick={() => onFilter(text.trim() || undefined)}>Apply</button>}
        {filter && text === filter && <button type="button" className="button small" onClick={() => onFilter(undefined)}>All flows</button>}
      </div>
      {words.length > 0 && current && (
        <ul id={list} className="flow-words" role="listbox" aria-label="Completions">
          {words.map((word, n) => (
            <li key={word.word} id={`${list}-${n}`} role="option" aria-selected={n === marked} onMouseDown={(event) => { event.preventDefault(); take(current, word.word); }}>
              <span className="mono">{word.word}</span>
              <span className="faint">{word.text}</span>
            </li>
          ))}
        </ul>
      )}
      {trouble && (
        <p className="flow-trouble" role="alert">
          <StateMark mark="square" tone="bad" />
          <span>{trouble.text} <button type="button" className="button small" onClick={() => { own.current?.focus(); own.current?.setSelectionRange(trouble.from, Math.max(trouble.to, trouble.from + 1)); }}>character {trouble.from + 1}</button></span>
        </p>
      )}
    </div>
  );
}

/** `value` once it has stayed for a while. */
function useRested(value: string, ms: number): string {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}

// The text of the question: line numbers, the place of an error, and what could be typed next. A textarea, so that the browser's own
// keys, undo and screen readers work as they do everywhere.
import { useId, useImperativeHandle, useRef, useState, type KeyboardEvent, type Ref } from "react";

import type { QueryTable } from "../../api/types";
import { placeOf, suggest, wordBefore, type Suggestion } from "./sql";

/** What the room does to the text: each of it can be undone by the reader. */
export interface EditorHandle {
  focus: (from?: number, to?: number) => void;
  /** Writes at the caret, with a space before where one is needed. */
  insert: (text: string) => void;
  replace: (from: number, to: number, text: string) => void;
  replaceAll: (text: string) => void;
}

interface Props {
  value: string;
  onChange: (value: string) => void;
  onAsk: () => void;
  /** Escape, when there is nothing left to close in the editor. */
  onLeave: () => void;
  error: { from: number; to: number } | null;
  tables: readonly QueryTable[];
  ref: Ref<EditorHandle>;
}

const LINE_PX = 20;
const GUTTER_PX = 44;
const PADDING_PX = 8;
const [LEAST_LINES, MOST_LINES] = [5, 14];

/** Typing by program that undo knows. The only way that a textarea has; every browser does it, though it is called deprecated. */
function type(area: HTMLTextAreaElement, from: number, to: number, text: string): void {
  area.focus();
  area.setSelectionRange(from, to);
  const old = document as unknown as { execCommand?: (command: string, ui: boolean, text: string) => boolean };
  if (old.execCommand?.(text === "" ? "delete" : "insertText", false, text)) return;
  area.setRangeText(text, from, to, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

export function Editor({ value, onChange, onAsk, onLeave, error, tables, ref }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);
  const [caret, setCaret] = useState(value.length);
  const [open, setOpen] = useState<"typed" | "asked" | null>(null);
  const [marked, setMarked] = useState(-1);
  const [scroll, setScroll] = useState({ left: 0, top: 0 });
  const list = useId();

  useImperativeHandle(ref, () => ({
    focus: (from, to) => {
      area.current?.focus();
      if (from !== undefined) area.current?.setSelectionRange(from, to ?? from);
    },
    insert: (text) => {
      const at = area.current;
      if (!at) return;
      const before = at.value.charAt(at.selectionStart - 1);
      type(at, at.selectionStart, at.selectionEnd, before === "" || /[\s(.]/.test(before) ? text : `${before === "," ? " " : ", "}${text}`);
    },
    replace: (from, to, text) => { if (area.current) type(area.current, from, to, text); },
    replaceAll: (text) => { if (area.current) type(area.current, 0, area.current.value.length, text); },
  }), []);

  const suggestions = open ? suggest(value, caret, tables, open === "asked") : [];
  const close = () => {
    setOpen(null);
    setMarked(-1);
  };
  const take = (suggestion: Suggestion) => {
    const { from } = wordBefore(value, caret);
    if (area.current) type(area.current, from, caret, suggestion.writes);
    close();
  };
  const keys = (event: KeyboardEvent) => {
    const does = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    const shown = suggestions.length > 0;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      does();
      close();
      onAsk();
    } else if (event.key === " " && event.ctrlKey) {
      does();
      setOpen("asked");
    } else if (event.key === "Escape") {
      does();
      if (shown) close();
      else onLeave();
    } else if (shown && (event.key === "ArrowDown" || event.key === "ArrowUp") && !event.shiftKey) {
      does();
      setMarked((marked + (event.key === "ArrowDown" ? 1 : marked < 0 ? 0 : -1) + suggestions.length) % suggestions.length);
    } else if (shown && (event.key === "Tab" || event.key === "Enter") && (marked >= 0 || event.key === "Tab") && !event.shiftKey) {
      does();
      const suggestion = suggestions[Math.max(0, marked)];
      if (suggestion) take(suggestion);
    }
  };

  const lines = value.split("\n");
  const longest = lines.reduce((most, line) => Math.max(most, line.length), 0);
  const wrong = error ? placeOf(value, error.from).line : 0;
  const at = placeOf(value, wordBefore(value, caret).from);
  return (
    <div className="sql">
      <div className="sql-scroll" onScroll={(event) => setScroll({ left: event.currentTarget.scrollLeft, top: event.currentTarget.scrollTop })} style={{ minHeight: LEAST_LINES * LINE_PX + 2 * PADDING_PX, maxHeight: MOST_LINES * LINE_PX + 2 * PADDING_PX }}>
        <ol className="sql-lines" aria-hidden="true">{lines.map((_, n) => <li key={n} className={n + 1 === wrong ? "wrong" : ""}>{n + 1}</li>)}</ol>
        <div className="sql-text" style={{ minWidth: `calc(${longest + 2}ch + ${2 * PADDING_PX}px)`, minHeight: Math.max(LEAST_LINES, lines.length) * LINE_PX + 2 * PADDING_PX }}>
          {error && <pre aria-hidden="true">{value.slice(0, error.from)}<mark>{value.slice(error.from, error.to) || " "}</mark>{value.slice(Math.max(error.to, error.from))}</pre>}
          <textarea
            ref={area}
            value={value}
            aria-label="The question in SQL"
            aria-autocomplete="list"
            aria-controls={suggestions.length > 0 ? list : undefined}
            aria-activedescendant={suggestions.length > 0 && marked >= 0 ? `${list}-${marked}` : undefined}
            aria-invalid={error !== null}
            placeholder={"SELECT site, count(*) FROM active_results GROUP BY site"}
            spellCheck={false}
            autoCapitalize="off"
            autoComplete="off"
            wrap="off"
            onChange={(event) => {
              onChange(event.target.value);
              setCaret(event.target.selectionStart);
              setOpen("typed");
              setMarked(-1);
            }}
            onSelect={(event) => {
              if (event.currentTarget.selectionStart === caret) return;
              setCaret(event.currentTarget.selectionStart);
              close();
            }}
            onBlur={close}
            onKeyDown={keys}
          />
        </div>
      </div>
      {suggestions.length > 0 && (
        <ul id={list} className="sql-suggest" role="listbox" aria-label="Completions" style={{ left: `calc(${GUTTER_PX + PADDING_PX - scroll.left - 8}px + ${at.column - 1}ch)`, top: at.line * LINE_PX + PADDING_PX - scroll.top + 2 }}>
          {suggestions.map((suggestion, n) => (
            <li key={suggestion.name} id={`${list}-${n}`} role="option" aria-selected={n === marked} onMouseDown={(event) => { event.preventDefault(); take(suggestion); }}>
              <span>{suggestion.name}</span>
              <span className="faint">{suggestion.note}</span>
            </li>
          ))}
          <li role="presentation" className="sql-how faint">{marked >= 0 ? "Enter or Tab takes it" : "Tab takes the first"}</li>
        </ul>
      )}
    </div>
  );
}

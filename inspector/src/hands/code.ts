/**
 * The editor for JSON: CodeMirror, in a shadow root of its own, where its styles are no inline styles. It is large, and
 * loaded when somebody writes an event.
 */
import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, isolateHistory } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import {
  bracketMatching,
  ensureSyntaxTree,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState, type Transaction } from "@codemirror/state";
import { drawSelection, EditorView, keymap, tooltips } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { fieldsAt, type Field } from "./fields.ts";
import { placeAt, placeOf, type Place } from "./place.ts";
import { presets } from "./presets.ts";

/** What an editor is made of. */
export interface Editing {
  /** It is put into a shadow root of this. */
  readonly host: HTMLElement;
  readonly text: string;
  readonly label: string;
  /** Hears of each change, and what is wrong with it as JSON. */
  changed(text: string, fault: string | undefined): void;
  /** Ctrl or Cmd and Enter. */
  submit(): void;
  /** Escape: the focus goes on. */
  leave(): void;
  /** Types that the stream has, beyond those that are always known. */
  types(): Iterable<string>;
}

/** An editor. */
export interface Editor {
  /** Puts another text there; what was there comes back by undoing. */
  give(text: string): void;
  focus(): void;
  /** Marks what the server does not take; `undefined` takes the mark away. */
  mark(problem: { words: string; field: string | undefined; index: number | undefined } | undefined): void;
  close(): void;
}

export function edit(editing: Editing): Editor {
  const root = editing.host.shadowRoot ?? editing.host.attachShadow({ mode: "open", delegatesFocus: true });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: editing.text,
      extensions: [
        history(),
        drawSelection(),
        json(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        syntaxHighlighting(colours),
        theme,
        lintGutter(),
        tooltips({ position: "fixed" }),
        autocompletion({ override: [(context) => complete(context, editing)], icons: false }),
        EditorView.lineWrapping,
        typedOver,
        EditorView.contentAttributes.of({
          "aria-label": editing.label,
          "aria-multiline": "true",
          autocapitalize: "off",
          spellcheck: "false",
        }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) judge();
        }),
        keymap.of([
          { key: "Mod-Enter", run: () => (editing.submit(), true) },
          { key: "Tab", run: acceptCompletion },
          ...closeBracketsKeymap,
          ...completionKeymap,
          ...historyKeymap,
          ...defaultKeymap.filter(({ key }) => key !== "Mod-Enter" && key !== "Escape"),
          indentWithTab,
          // Behind those that close a list of completions.
          { key: "Escape", run: () => (editing.leave(), true) },
        ]),
      ],
    }),
  });

  // Who focuses the host means what is written in, which is not the first in it that can be focused.
  view.scrollDOM.addEventListener("focus", () => view.focus());

  /** Says what is wrong with the text as JSON. */
  function judge(): void {
    const faults = view.state.doc.length === 0 ? [] : jsonParseLinter()(view);
    view.dispatch(setDiagnostics(view.state, faults));
    editing.changed(view.state.doc.toString(), faults[0]?.message);
  }
  judge();

  return {
    give(text) {
      view.dispatch({
        changes: { from: 0, to: view.state.doc.length, insert: text },
        selection: { anchor: 0 },
        annotations: isolateHistory.of("full"),
      });
    },
    focus: () => view.focus(),
    mark(problem) {
      const tree = ensureSyntaxTree(view.state, view.state.doc.length, 200) ?? syntaxTree(view.state);
      const text = view.state.doc.toString();
      const place = problem && placeOf(tree, text, problem.field ?? "", problem.index);
      const marks = problem && place ? [{ ...place, severity: "error" as const, message: problem.words }] : [];
      view.dispatch(setDiagnostics(view.state, marks));
    },
    close: () => view.destroy(),
  };
}

/**
 * A letter that is typed over a selection. The browser would keep the look of what was there by an inline style, which the
 * page's policy forbids; so the editor writes it by itself.
 */
const typedOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    const { data } = event;
    if (event.inputType !== "insertText" || data === null || event.isComposing || empty) return false;
    const insert = (): Transaction =>
      view.state.update(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handle) => handle(view, from, to, data, insert))) view.dispatch(insert());
    return true;
  },
});

function complete(context: CompletionContext, editing: Editing): CompletionResult | null {
  const text = context.state.doc.toString();
  const tree = ensureSyntaxTree(context.state, context.pos, 100) ?? syntaxTree(context.state);
  const place = placeAt(tree, text, context.pos);
  if (!place || (place.from === context.pos && !context.explicit)) return null;
  const fields = fieldsAt(place.type, place.path);
  if (place.kind === "name") return { ...names(fields, place, text), validFor: /^"?[\w.-]*$/ };
  const field = fields[place.name ?? ""];
  const values: (string | number | boolean | null)[] = [...(field?.values ?? [])];
  if (place.name === "preset") values.push(...presets.map(({ name }) => name));
  // What the stream has comes first in the mind of who writes.
  if (place.name === "type" && place.path.length === 0) values.unshift(...editing.types());
  if (values.length === 0) return null;
  const options = [...new Set(values)].map((value, at): Completion => ({ label: JSON.stringify(value), boost: -at }));
  return { from: place.from, to: place.to, options, validFor: /^"?[\w.:*-]*"?$/ };
}

function names(fields: Readonly<Record<string, Field>>, place: Place, text: string): CompletionResult {
  const hasColon = /^\s*:/.test(text.slice(place.to));
  const options = Object.entries(fields).map(([name, { is, fields: inner }], at): Completion => {
    const quoted = JSON.stringify(name);
    return { label: quoted, detail: is, boost: -at, apply: hasColon ? quoted : `${quoted}: ${inner ? "{}" : ""}` };
  });
  return { from: place.from, to: place.to, options };
}

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.string, color: "var(--text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--tool)" },
  { tag: tags.punctuation, color: "var(--dim)" },
]);

const theme = EditorView.theme({
  "&": {
    height: "100%",
    color: "var(--text)",
    backgroundColor: "var(--panel)",
    border: "1px solid var(--line)",
    borderRadius: "7px",
    fontSize: "13px",
  },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.45" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "transparent", border: "0" },
  "&.cm-focused .cm-cursor, .cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "var(--chosen)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--chosen)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--bad-ground)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
  ".cm-lintPoint-error:after": { borderBottomColor: "var(--bad)" },
  ".cm-lint-marker-error": {
    content: '""',
    background: "var(--bad)",
    borderRadius: "50%",
    width: "8px",
    height: "8px",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--panel)",
    color: "var(--text)",
    border: "1px solid var(--line)",
    borderRadius: "7px",
    boxShadow: "0 4px 16px rgb(0 0 0 / 20%)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "240px", maxWidth: "90vw" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--chosen)", color: "var(--text)" },
  ".cm-completionDetail": { color: "var(--dim)", fontFamily: "var(--sans)", fontStyle: "normal", marginLeft: "10px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
});

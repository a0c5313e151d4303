/**
 * Form controls. The only file that knows @vscode/webview-ui-toolkit, which its makers have retired:
 * another set of elements can be put in its place here.
 */
import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';
import { html, nothing, type TemplateResult } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import { ref } from 'lit/directives/ref.js';

provideVSCodeDesignSystem().register(
  vsCodeButton(),
  vsCodeCheckbox(),
  vsCodeDropdown(),
  vsCodeOption(),
  vsCodeTextField(),
);

export function button(
  label: string,
  onClick: () => void,
  options: { secondary?: boolean; disabled?: boolean; title?: string } = {},
): TemplateResult {
  return html`<vscode-button
    appearance=${options.secondary ? 'secondary' : 'primary'}
    ?disabled=${options.disabled ?? false}
    title=${options.title ?? nothing}
    data-no-export
    @click=${onClick}
    >${label}</vscode-button
  >`;
}

export interface Choice {
  value: string;
  label: string;
}

/** A labelled drop-down. */
export function choose(
  label: string,
  value: string,
  choices: Choice[],
  onChange: (value: string) => void,
): TemplateResult {
  const changed = (event: Event) => {
    const next = (event.target as HTMLInputElement).value;
    if (next !== value && choices.some(c => c.value === next)) onChange(next);
  };
  return html`<label class="control"
    ><span>${label}</span
    ><vscode-dropdown aria-label=${label} .value=${value} @change=${changed}>
      ${repeat(
        choices,
        // An option reads its name once, when it is put in: one of another name is another option.
        c => `${c.value}\n${c.label}`,
        c => html`<vscode-option value=${c.value} ?selected=${c.value === value}>${c.label}</vscode-option>`,
      )}
    </vscode-dropdown></label
  >`;
}

/** A few choices side by side, one of them pressed: for switches that are used often. */
export function segmented(
  label: string,
  value: string,
  choices: Choice[],
  onChange: (value: string) => void,
): TemplateResult {
  const move = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = choices.findIndex(c => c.value === value);
    const next = choices[(at + step + choices.length) % choices.length]!;
    const group = event.currentTarget as HTMLElement;
    onChange(next.value);
    requestAnimationFrame(() => group.querySelector<HTMLElement>('[aria-checked="true"]')?.focus());
  };
  return html`<div class="control">
    <span aria-hidden="true">${label}</span>
    <div class="segmented" role="radiogroup" aria-label=${label} @keydown=${move}>
      ${choices.map(
        c =>
          html`<button
            type="button"
            role="radio"
            aria-checked=${c.value === value}
            tabindex=${c.value === value ? 0 : -1}
            @click=${() => onChange(c.value)}
          >
            ${c.label}
          </button>`,
      )}
    </div>
  </div>`;
}

export function toggle(
  label: string,
  checked: boolean,
  onChange: (checked: boolean) => void,
): TemplateResult {
  const changed = (event: Event) => onChange((event.target as HTMLInputElement).checked);
  return html`<vscode-checkbox ?checked=${checked} .checked=${checked} @change=${changed}
    >${label}</vscode-checkbox
  >`;
}

/** Named for screen readers when it stands in the page: then the toolkit calls a field without words inside "Text field". */
export function textField(
  label: string,
  value: string,
  onInput: (value: string) => void,
  options: { placeholder?: string; hideLabel?: boolean; size?: number } = {},
): TemplateResult {
  return html`<label class="control"
    >${options.hideLabel ? nothing : html`<span>${label}</span>`}<vscode-text-field
      aria-label=${label}
      placeholder=${options.placeholder ?? ''}
      size=${options.size ?? 20}
      .value=${value}
      @input=${(event: Event) => onInput((event.target as HTMLInputElement).value)}
      ${ref(field => void (field && queueMicrotask(() => field.setAttribute('aria-label', label))))}
    ></vscode-text-field
  ></label>`;
}

/** A slider with its value written beside it; `onInput` fires while it moves. */
export function slider(
  label: string,
  value: number,
  range: { min: number; max: number; step: number },
  text: string,
  onInput: (value: number) => void,
): TemplateResult {
  return html`<label class="control slider"
    ><span>${label}</span
    ><input
      type="range"
      min=${range.min}
      max=${range.max}
      step=${range.step}
      .value=${String(value)}
      aria-valuetext=${text}
      @input=${(event: Event) => onInput(Number((event.target as HTMLInputElement).value))}
    /><output>${text}</output></label
  >`;
}

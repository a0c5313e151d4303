import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { HeadProfile, Role } from '../../shared/protocol/engine';
import { percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import {
  defaultMeasure,
  findMeasure,
  headMeasures,
  measurePosition,
  writeExact,
  writeMeasure,
  writeShort,
  type HeadMeasure,
} from '../model/measures';
import { mechanismNames } from '../model/mechanismNames';
import { headName, rolesInWords, shortName } from '../model/names';
import { ROLES, mainRole, roleGlyph } from '../model/roles';
import { roleTitle } from '../../shared/roleTitles';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { nativeOf, standing } from '../model/standing';
import { globalKey } from '../host/keys';
import { store } from '../host/store';
import { t } from '../host/words';
import { Component } from '../ui/component';
import { button, choose, textField } from '../ui/controls';
import { headMenuOf } from '../ui/headMenu';
import { ablationControl } from '../ui/ablation';
import { emptyState, statusLine } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { barStyles, bars } from '../ui/tokenPanel';
import { mark, markStyles } from '../ui/verifiedMark';
import '../plots/distancePlot';
import '../ui/interventionList';
import '../ui/thumb';
import { ROW, sideStyles } from './sideStyles';

/** The narrow panel: all heads as a list, and the small plots of the selected one. */
@customElement('ai-side')
export class Side extends Component {
  static override styles = [...Component.styles, stateStyles, barStyles, markStyles, sideStyles];
  @state() private scrolled = 0;
  @state() private filter = '';
  private readonly onMenu = (event: MouseEvent) => headMenuOf(event);
  private readonly onKey = (event: KeyboardEvent) => {
    if (!event.defaultPrevented && globalKey(event)) event.preventDefault();
  };

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener('keydown', this.onKey);
    window.addEventListener('contextmenu', this.onMenu);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener('keydown', this.onKey);
    window.removeEventListener('contextmenu', this.onMenu);
  }

  /** A head chosen elsewhere comes into sight. */
  override updated(): void {
    const { shownHead } = store;
    const key = shownHead ? `${shownHead.core}.${shownHead.head}` : '';
    if (key === this.revealed) return;
    this.revealed = key;
    const row = this.rows.findIndex(h => h.core === shownHead?.core && h.head === shownHead.head);
    if (row >= 0) this.reveal(row);
  }
  private revealed = '';

  private reveal(row: number): void {
    const list = this.renderRoot.querySelector<HTMLElement>('.list');
    if (!list) return;
    if (row * ROW < list.scrollTop) list.scrollTop = row * ROW;
    if ((row + 1) * ROW > list.scrollTop + list.clientHeight)
      list.scrollTop = (row + 1) * ROW - list.clientHeight;
  }

  // ------------------------------------------------------------ list

  private get measures(): HeadMeasure[] {
    return headMeasures(store.mechanisms, store.plan, store.heads, store.ablation);
  }

  private get measure(): HeadMeasure {
    const { measures } = this;
    return findMeasure(measures, store.option('side', 'measure', defaultMeasure(measures)));
  }

  private get wantedRole(): Role | '' {
    return store.option<string>('side', 'role', '') as Role | '';
  }

  /** Heads after filter and sorting. */
  private get rows(): HeadProfile[] {
    const { measure, wantedRole: role } = this;
    const order = store.option<string>('side', 'order', 'down');
    const words = this.filter.toLowerCase().trim();
    const heads = store.heads.filter(
      h =>
        (!role || h.roles.some(r => r.role === role)) &&
        (!words || `${shortName(h)} ${headName(h)} ${rolesInWords(h)}`.toLowerCase().includes(words)),
    );
    if (order === 'layer') return heads;
    const sign = order === 'up' ? 1 : -1;
    return heads.sort((a, b) => sign * ((measure.value(a) ?? -1) - (measure.value(b) ?? -1)));
  }

  override render() {
    const empty = emptyState('side');
    if (empty) return empty;
    const { rows } = this;
    return html`
      <div class="top">
        ${statusLine()} ${mark()} ${this.controls()}
        <span class="muted" role="status">${t('{0} of {1} heads', rows.length, store.heads.length)}</span>
      </div>
      <ai-interventions class="taken"></ai-interventions>
      ${this.list(rows)}
      <div class="detail ${store.stale ? 'is-stale' : ''}">${this.detail()}</div>
      <ai-head-menu></ai-head-menu>
    `;
  }

  private controls(): TemplateResult {
    const { measure, wantedRole: role } = this;
    const present = new Set(store.heads.flatMap(h => h.roles.map(r => r.role)));
    return html`
      ${choose(
        t('Measure'),
        measure.id,
        this.measures.map(m => ({ value: m.id, label: m.title })),
        value => store.setOption('side', 'measure', value),
      )}
      ${choose(
        t('Order'),
        store.option<string>('side', 'order', 'down'),
        [
          { value: 'down', label: t('largest first') },
          { value: 'up', label: t('smallest first') },
          { value: 'layer', label: t('by layer') },
        ],
        value => store.setOption('side', 'order', value),
      )}
      ${choose(
        t('Role'),
        role,
        [
          { value: '', label: t('any') },
          ...(Object.keys(ROLES) as Role[])
            .filter(r => present.has(r) || r === role)
            .map(r => ({ value: r, label: t(ROLE_TITLES[r]) })),
        ],
        value => store.setOption('side', 'role', value),
      )}
      ${ablationControl()}
      ${textField(t('Filter heads'), this.filter, value => (this.filter = value), {
        placeholder: t('Filter: L3, induction, …'),
        hideLabel: true,
      })}
    `;
  }

  private list(rows: HeadProfile[]): TemplateResult {
    const { measure } = this;
    const position = measurePosition(measure, store.heads);
    const first = Math.max(0, Math.floor(this.scrolled / ROW) - 4);
    const shown = rows.slice(first, first + Math.ceil(this.height / ROW) + 8);
    const active = store.shownHead;
    const idOf = (h: { core: number; head: number }) => `head-${h.core}-${h.head}`;
    return html`<div
      class="list"
      role="listbox"
      tabindex="0"
      data-keeps-arrows
      aria-label=${t('Heads by {0}', measure.title)}
      aria-activedescendant=${active ? idOf(active) : nothing}
      @scroll=${(event: Event) => (this.scrolled = (event.target as HTMLElement).scrollTop)}
      @keydown=${(event: KeyboardEvent) => this.listKey(event, rows)}
    >
      <div role="presentation" .style=${`height: ${rows.length * ROW}px`}>
        ${shown.map((profile, i) => {
          const value = measure.value(profile);
          const role = mainRole(profile);
          const selected = profile.core === active?.core && profile.head === active.head;
          return html`<div
            class="item"
            role="option"
            id=${idOf(profile)}
            data-head=${`${profile.core}.${profile.head}`}
            aria-selected=${selected}
            aria-setsize=${rows.length}
            aria-posinset=${first + i + 1}
            aria-label=${`${shortName(profile)} ${writeShort(measure, value)}: ${headName(profile)}, ${measure.title} ${writeMeasure(measure, value)}, ${rolesInWords(profile)}`}
            title=${`${rolesInWords(profile)}\n${measure.title}: ${writeExact(measure, value)}`}
            .style=${`top: ${(first + i) * ROW}px`}
            @click=${() => store.select({ core: profile.core, head: profile.head })}
            @dblclick=${() => store.host.send({ type: 'openView', view: 'head' })}
          >
            <span>${role ? roleGlyph(role, 14) : nothing}</span>
            <span>${shortName(profile)}</span>
            <span class="bar"><div .style=${`width: ${position(value) * 100}%`}></div></span>
            <span class="number">${writeShort(measure, value)}</span>
          </div>`;
        })}
      </div>
    </div>`;
  }

  /** In a list up and down mean the list, not the layer. */
  private listKey(event: KeyboardEvent, rows: HeadProfile[]): void {
    const page = Math.max(1, Math.floor(this.height / ROW / 2) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    const active = store.shownHead;
    if (event.key === 'Enter') {
      store.host.send({ type: 'openView', view: 'head' });
      event.preventDefault();
    }
    if (step === undefined || !rows.length) return;
    event.preventDefault();
    const at = rows.findIndex(h => h.core === active?.core && h.head === active.head);
    const next = Math.max(0, Math.min(rows.length - 1, at + step));
    const { core, head } = rows[next]!;
    store.select({ core, head });
    this.reveal(next);
  }

  // ------------------------------------------------------------ the selected head

  private detail(): TemplateResult | typeof nothing {
    const head = store.shownHead;
    const profile = head && store.profile(head);
    if (!profile) return nothing;
    const native = nativeOf(profile);
    return html`
      <div class="who">
        <ai-thumb
          .thumbnail=${profile.thumbnail}
          role="img"
          aria-label=${t('Map of {0}', headName(profile))}
          title=${t('Open the map')}
          @click=${() => store.host.send({ type: 'openView', view: 'head' })}
        ></ai-thumb>
        <div>
          <h2>${headName(profile)}${native ? html` <small class="muted">${native}</small>` : nothing}</h2>
          ${profile.roles.slice(0, 3).map(
            r =>
              html`<div title=${ROLES[r.role].summary}>
                ${roleGlyph(r.role, 12)} ${roleTitle(r, t)}
                <span class="muted" title=${exact(r.score * 100, '%')}>${percent(r.score)}</span>
              </div>`,
          )}
          ${button(t('Open'), () => store.host.send({ type: 'openView', view: 'head' }), { secondary: true })}
        </div>
      </div>
      <ai-token></ai-token> ${this.keptPlots(profile)}
      <h2>${t('Mass by distance')} <span class="muted">${t('(tokens, log)')}</span></h2>
      <ai-distance .profile=${profile} compact></ai-distance>
      <h2>${t('Mass on')}</h2>
      ${bars(
        (Object.keys(profile.to) as (keyof HeadProfile['to'])[]).map(target => ({
          name: target,
          value: profile.to[target] ?? 0,
        })),
        1,
      )}
    `;
  }

  /** What each computed mechanism would keep of this head. */
  private keptPlots(profile: HeadProfile): TemplateResult | typeof nothing {
    const local = store.mechanisms.filter(m => m.scope === 'local');
    const names = mechanismNames(local.map(({ setting }) => setting));
    const kept = local
      .map((m, i) => ({
        name: `${names[i]} · ${standing(m.setting, profile.core)}`,
        value: m.heads.find(h => h.core === profile.core && h.head === profile.head)?.recall ?? null,
      }))
      .filter((m): m is { name: string; value: number } => m.value !== null);
    if (!kept.length) return nothing;
    return html`<h2>${t('Mass kept')} <span class="muted">${t('(local)')}</span></h2>
      ${bars(kept, 1)}`;
  }
}

import { html } from 'lit';
import { customElement } from 'lit/decorators.js';
import { Component } from '../ui/component';
import { emptyState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';

@customElement('ai-spans')
export class View_spans extends Component {
  static override styles = [...Component.styles, stateStyles];
  override render() {
    return emptyState('spans') ?? html``;
  }
}

import { html } from 'lit';
import { customElement } from 'lit/decorators.js';
import { Component } from '../ui/component';
import { emptyState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';

@customElement('ai-buckets')
export class View_buckets extends Component {
  static override styles = [...Component.styles, stateStyles];
  override render() {
    return emptyState('buckets') ?? html``;
  }
}

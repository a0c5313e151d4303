import type { MapModel, Pair } from './mapModel';

/** What the pointer and the keys on the map lead to. */
export interface MapActions {
  /** The map has moved or something on it is brushed. */
  moved(): void;
  /** Another query is looked at; null = none. */
  pointed(query: number | null): void;
  pinned(query: number): void;
  /** Both tokens of a pair are to be shown in the text. */
  opened(pair: Pair): void;
}

/** Turns what the pointer and the keys do on the map's canvas into moves of the model. */
export class MapInput {
  constructor(
    private readonly model: MapModel,
    private readonly actions: MapActions,
  ) {}

  private at(event: MouseEvent): { px: number; py: number } {
    const rect = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const { map } = this.model.frame;
    return { px: event.clientX - rect.x - map.x, py: event.clientY - rect.y - map.y };
  }

  readonly onDown = (event: PointerEvent) => {
    if (!this.model.camera || event.button !== 0) return;
    const { px, py } = this.at(event);
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    this.model.press(px, py);
  };

  readonly onMove = (event: PointerEvent) => {
    const { px, py } = this.at(event);
    if (this.model.dragging) {
      this.model.dragTo(px, py);
      this.actions.moved();
    } else if (this.model.point(px, py)) {
      this.actions.pointed(this.model.hover?.query ?? null);
    }
  };

  readonly onUp = (event: PointerEvent) => {
    const { px, py } = this.at(event);
    const pinned = this.model.release(px, py);
    if (pinned === null) this.actions.moved();
    else this.actions.pinned(pinned);
  };

  readonly onLeave = () => {
    if (this.model.dragging || !this.model.hover) return;
    this.model.hover = null;
    this.actions.pointed(null);
  };

  readonly onDouble = (event: MouseEvent) => {
    const { px, py } = this.at(event);
    const pair = this.model.pairAt(px, py);
    if (pair) this.actions.opened(pair);
  };

  readonly onWheel = (event: WheelEvent) => {
    event.preventDefault();
    const { px, py } = this.at(event);
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) && !event.ctrlKey;
    if (event.shiftKey || sideways) this.model.scroll(event.deltaX || event.deltaY, 0);
    else this.model.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), px, py);
    this.actions.moved();
  };

  readonly onKey = (event: KeyboardEvent) => {
    if (!this.model.camera || !this.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  /** True when the key means something here. */
  private key({ key, shiftKey }: KeyboardEvent): boolean {
    const { model, actions } = this;
    const pan = shiftKey ? PAN[key] : undefined;
    const { query } = model.crosshair;
    if (pan) model.scroll(...pan);
    else if (key === '+' || key === '=') model.zoom(1.5);
    else if (key === '-') model.zoom(1 / 1.5);
    else if (key === '0') model.showAll();
    else if (key === '[' || key === ']') actions.pointed(model.moveQuery(key === ']' ? 1 : -1));
    else if (key === 'Enter' && query !== null) actions.pinned(model.pin(query));
    else return false;
    actions.moved();
    return true;
  }
}

/** CSS pixels that Shift and an arrow move the map by. */
const PAN: Record<string, [number, number]> = {
  ArrowLeft: [-80, 0],
  ArrowRight: [80, 0],
  ArrowUp: [0, -80],
  ArrowDown: [0, 80],
};

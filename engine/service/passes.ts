/** Passes over the cores of an analysed text: whoever needs the dense tensors of some cores visits them. */
import type { CoreInput } from '../attention/core';
import { denseOutput, type DenseContext } from '../attention/kernels/dense';
import { CancelledError } from '../errors';
import type { Attend, RunOptions } from '../model/cut/cutModel';
import type { HiddenRows } from '../model/cut/hidden';
import { checkpoint, untilCancelled } from '../runtime/cancellation';

/** Q, K, V and the dense output of one core. */
export interface CoreTensors {
  input: CoreInput;
  output: Float32Array;
}

/** The output of a core that does not run dense. */
export type StandIn = (core: number, input: CoreInput, signal: AbortSignal) => Promise<Float32Array>;

/** The analysed text that passes go over. */
interface Analysed {
  run(attend: Attend, options: Omit<RunOptions, 'targetIds'>): Promise<unknown>;
  context(signal: AbortSignal): DenseContext;
  /** What stands in the cores in place of dense attention; null = nothing. */
  readonly standIn: StandIn | null;
  /** The tensors of a core where no run is needed for them. */
  atHand(core: number): CoreTensors | null;
  keep(core: number, tensors: CoreTensors): void;
}

export interface Visitor {
  cores: readonly number[];
  /** Called once for each of the cores, in the order in which the model runs them. */
  visit(core: number, tensors: CoreTensors): Promise<void> | void;
  /** Wants the residual stream too, before each core that the model comes to: then it always runs. */
  onHidden?(hidden: HiddenRows): void;
  /** The model runs to its end, and not only to the last of the cores. */
  toEnd?: boolean;
  signal: AbortSignal;
}

/**
 * The visits of one analysis. Cores whose tensors are at hand are visited at once. For the others the model runs, one run
 * at a time for all requests: one that comes while the run has all its cores ahead joins it, the others share the next.
 */
export class CorePasses {
  private running: Pass | null = null;
  private next: Pass | null = null;

  constructor(private readonly analysis: Analysed) {}

  /** For requests. What the run finds is kept for the next ones while there is room. */
  async visit(visitor: Visitor): Promise<void> {
    if (visitor.signal.aborted) throw new CancelledError();
    const held = this.held(visitor);
    if (held) return visitHeld(visitor, held);
    let pass = [this.running, this.next].find(one => one?.comesTo(visitor.cores));
    pass ??= this.next = new Pass(this.analysis, true);
    const done = pass.join(visitor);
    void this.start();
    return done;
  }

  /** For long jobs: a run of its own, so that no request waits for what the job does at each core. */
  async visitAlone(visitor: Visitor): Promise<void> {
    if (visitor.signal.aborted) throw new CancelledError();
    const held = this.held(visitor);
    if (held) return visitHeld(visitor, held);
    const pass = new Pass(this.analysis, false);
    const done = pass.join(visitor);
    void pass.run();
    return done;
  }

  /** The tensors of all of the visitor's cores, if no run is needed. */
  private held({ cores, onHidden }: Visitor): CoreTensors[] | null {
    const held = cores.flatMap(core => this.analysis.atHand(core) ?? []);
    return held.length === cores.length && !onHidden ? held : null;
  }

  private async start(): Promise<void> {
    if (this.running) return;
    while ((this.running = this.next)) {
      this.next = null;
      // All that is asked for in one turn joins; what is cancelled in it never starts.
      await new Promise<void>(resolve => setImmediate(resolve));
      await this.running.run();
    }
  }
}

async function visitHeld({ cores, visit, signal }: Visitor, held: readonly CoreTensors[]): Promise<void> {
  for (const [at, core] of cores.entries()) {
    await checkpoint(signal);
    await visit(core, held[at]!);
  }
}

/**
 * The same cores of several analyses of one model side by side: each text runs once, and at every core they wait for each
 * other.
 */
export async function visitTogether(
  analyses: readonly { visitAlone(...args: Visit): Promise<void> }[],
  cores: readonly number[],
  visit: (core: number, tensors: CoreTensors[]) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const meetings = new Map(cores.map(core => [core, new Meeting(analyses.length, visit, core)]));
  const passes = analyses.map((analysis, at) =>
    analysis.visitAlone(
      cores,
      (core, tensors) => untilCancelled(meetings.get(core)!.come(at, tensors), either),
      either,
    ),
  );
  for (const pass of passes) pass.catch(error => failed.abort(error));
  await Promise.allSettled(passes);
  if (signal.aborted) throw new CancelledError();
  if (failed.signal.aborted) throw failed.signal.reason;
}

type Visit = [cores: readonly number[], visit: Visitor['visit'], signal: AbortSignal];

class Meeting {
  private readonly here: CoreTensors[] = [];
  private missing: number;
  private begin!: (result: Promise<void>) => void;
  private readonly held = new Promise<void>(resolve => (this.begin = resolve));

  constructor(
    count: number,
    private readonly visit: (core: number, tensors: CoreTensors[]) => Promise<void>,
    private readonly core: number,
  ) {
    this.missing = count;
  }

  come(at: number, tensors: CoreTensors): Promise<void> {
    this.here[at] = tensors;
    if (--this.missing === 0) this.begin(this.visit(this.core, this.here));
    return this.held;
  }
}

interface Guest {
  visitor: Visitor;
  left: Set<HiddenRows['at']>;
  leave(error?: unknown): void;
}

/** One run of the model; it stops when the last guest has seen its cores or has cancelled. */
class Pass {
  private readonly guests = new Set<Guest>();
  private readonly passed = new Set<number>();
  private readonly alone = new AbortController();

  constructor(
    private readonly analysis: Analysed,
    private readonly keeps: boolean,
  ) {}

  comesTo(cores: readonly number[]): boolean {
    return !this.alone.signal.aborted && cores.every(core => !this.passed.has(core));
  }

  /** Resolves when all cores were visited; rejects when the visitor fails or cancels, which no other guest notices. */
  join(visitor: Visitor): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = () => guest.leave(new CancelledError());
      const guest: Guest = {
        visitor,
        left: new Set([...visitor.cores, ...(visitor.toEnd ? (['output'] as const) : [])]),
        leave: error => {
          if (!this.guests.delete(guest)) return;
          visitor.signal.removeEventListener('abort', cancel);
          if (this.guests.size === 0) this.alone.abort();
          if (error === undefined) resolve();
          else reject(error as Error);
        },
      };
      this.guests.add(guest);
      visitor.signal.addEventListener('abort', cancel);
    });
  }

  /** Never rejects: what goes wrong is told to the guests. */
  async run(): Promise<void> {
    const { analysis } = this;
    const { signal } = this.alone;
    if (signal.aborted) return;
    const { standIn } = analysis;
    const outputOf = (core: number, input: CoreInput) =>
      standIn ? standIn(core, input, signal) : denseOutput(input, analysis.context(signal));
    const watching = [...this.guests].some(({ visitor }) => visitor.onHidden);
    try {
      await analysis.run(
        async ({ core }, input) => {
          const output = analysis.atHand(core)?.output ?? (await outputOf(core, input));
          this.passed.add(core);
          await this.show(core, { input, output });
          if (signal.aborted) throw new CancelledError();
          return output;
        },
        { signal, ...(watching && { onHidden: (hidden: HiddenRows) => this.showHidden(hidden) }) },
      );
      for (const guest of [...this.guests]) {
        guest.left.delete('output');
        guest.leave(guest.left.size === 0 ? undefined : new Error('internal: a core was not run'));
      }
    } catch (error) {
      for (const guest of [...this.guests]) guest.leave(error);
    }
  }

  private async show(core: number, tensors: CoreTensors): Promise<void> {
    const wanting = [...this.guests].filter(({ left }) => left.delete(core));
    if (this.keeps && wanting.length > 0) this.analysis.keep(core, tensors);
    for (const guest of wanting) {
      if (!this.guests.has(guest)) continue;
      try {
        await guest.visitor.visit(core, tensors);
        if (guest.left.size === 0) guest.leave();
      } catch (error) {
        guest.leave(error);
      }
    }
  }

  private showHidden(hidden: HiddenRows): void {
    for (const { visitor } of this.guests) visitor.onHidden?.(hidden);
  }
}

import { plainPercent } from '../../../shared/numbers';
import type { FoundPlan, PlanOptions } from './plan';
import type { PlanOnText, UniformOnText } from './test';
import { RefusedError, told } from '../../errors';
import { settledJson, withoutTokens, type HeadStability, type PlanText } from '../../export/planJson';
import { shareInterval95 } from '../../measure/binomial';
import type {
  AnalysisSummary,
  DeviceChoice,
  ModelInfo,
  PlannedHead,
  TokenTable,
} from '../../../shared/protocol/engine';
import { carriersOf, meanInterval } from '../../../shared/uncertainty';

/** What a plan over several texts asks of the engine. */
export interface PlanEngine {
  tokens(
    params: { model: string; device: DeviceChoice; text: string; maxTokens: number | null },
    signal: AbortSignal,
  ): Promise<{ model: ModelInfo; tokens: TokenTable }>;
  analyze(
    params: {
      id: string;
      model: string;
      text: string;
      device: DeviceChoice;
      maxTokens: number | null;
      mechanisms: [];
      propagate: false;
    },
    signal: AbortSignal,
  ): Promise<AnalysisSummary>;
  plan(
    ids: readonly string[],
    options: PlanOptions,
    signal: AbortSignal,
    baselines?: boolean,
  ): Promise<FoundPlan>;
  testPlan(id: string, found: FoundPlan, signal: AbortSignal): Promise<PlanOnText>;
  request(method: 'analysis/dispose', params: { id: string }): Promise<null>;
}

export interface NamedText {
  name: string;
  text: string;
}

export interface PlanTextsOptions extends PlanOptions {
  model: string;
  device: DeviceChoice;
  /** Longest fitted text; null = half of the context, at most FITTED. */
  maxTokens: number | null;
  /** Also fit to each text alone, to see how far they agree. */
  stability: boolean;
  /** So many of several texts are fitted to, the first ones (default: half of them). */
  fitted?: number;
}

export interface PlannedTexts {
  found: FoundPlan;
  /** Of the first fitted text, whose analysis is still there under this id. */
  summary: AnalysisSummary;
  id: string;
  texts: PlanText[];
  stability: HeadStability[];
  notes: string[];
}

/** Tokens that a plan is fitted to unless told otherwise. */
const FITTED = 1024;
/** Fewer tell nothing about budgets. */
export const LEAST = 128;
/** One text alone is cut into so many pieces to see whether they agree. */
const PIECES = 4;

/**
 * Fits a plan to some texts and tests it on the others and on longer cuts. Of several texts the first half is fitted to;
 * of one, its first half, and it is tested on the second half and on the whole.
 * @throws RefusedError for texts that are too short.
 */
export async function planTexts(
  engine: PlanEngine,
  files: readonly NamedText[],
  options: PlanTextsOptions,
  signal: AbortSignal,
  onStep: (message: string) => void = () => undefined,
): Promise<PlannedTexts> {
  return new PlanTexts(engine, options, signal, onStep).run(files);
}

/** A text and how much of it is read. */
interface Cut extends NamedText {
  role: PlanText['role'];
  maxTokens: number | null;
}

class PlanTexts {
  private summary: AnalysisSummary | null = null;

  constructor(
    private readonly engine: PlanEngine,
    private readonly options: PlanTextsOptions,
    private readonly signal: AbortSignal,
    private readonly onStep: (message: string) => void,
  ) {}

  async run(files: readonly NamedText[]): Promise<PlannedTexts> {
    const { fitted, tested, pieces } =
      files.length === 1 ? await this.cutOne(files[0]!) : await this.cutSeveral(files);
    const ids: string[] = [];
    for (const [at, cut] of fitted.entries()) {
      this.onStep(`Analysing ${cut.name}`);
      await this.analyze(`fitted ${at}`, cut);
      ids.push(`fitted ${at}`);
    }
    this.onStep('Fitting the plan');
    const found = await this.engine.plan(ids, this.options, this.signal);
    const texts: PlanText[] = [];
    for (const [at, cut] of fitted.entries()) texts.push(await this.test(ids[at]!, cut, found));
    for (const id of ids.slice(1)) await this.dispose(id);
    for (const cut of tested) {
      this.onStep(`Testing on ${cut.name}`);
      await this.analyze('tested', cut);
      texts.push(await this.test('tested', cut, found));
      await this.dispose('tested');
    }
    const choices: PlannedHead[][] = [];
    for (const cut of this.options.stability ? pieces : []) {
      this.onStep(`Fitting to ${cut.name} alone`);
      await this.analyze('alone', cut);
      const options = { ...this.options, maxRuns: Math.ceil(this.options.maxRuns / 2) };
      choices.push((await this.engine.plan(['alone'], options, this.signal, false)).plan.heads);
      await this.dispose('alone');
    }
    return {
      found,
      summary: this.summary!,
      id: ids[0]!,
      texts,
      stability: this.options.stability
        ? found.plan.heads.map((head, at) =>
            stabilityOf(
              head,
              choices.map(list => list[at]!),
            ),
          )
        : [],
      // Other units than pairs are paid on the fitted texts; what runs spend is counted in pairs.
      notes: [
        ...this.onlyText(files),
        ...notesOf(texts, (this.options.unit ?? 'pairs') === 'pairs' ? this.options.budget : 1),
      ],
    };
  }

  /** Several were asked for, and there was no other to test on. */
  private onlyText(files: readonly NamedText[]): string[] {
    if (files.length > 1 || this.options.fitted === undefined) return [];
    return [
      told`Only ${files[0]!.name} could be used: the plan is fitted to its first half and tested on its second half, not on another text.`,
    ];
  }

  private async cutOne(file: NamedText): Promise<{ fitted: Cut[]; tested: Cut[]; pieces: Cut[] }> {
    const { tokens, limit } = await this.tokens(file, 2);
    const count = tokens.ids.length;
    if (count < 2 * LEAST) {
      throw new RefusedError(
        told`${file.name} has ${count === 1 ? 'one token' : `${count} tokens`}: a plan needs at least ${2 * LEAST}, to fit and to test.`,
      );
    }
    const piece = (role: Cut['role'], name: string, from: number, to: number): Cut => ({
      name: `${file.name} (${name})`,
      text: file.text.slice(offset(tokens, from), offset(tokens, to)),
      role,
      maxTokens: limit,
    });
    const half = Math.floor(count / 2);
    const parts = Math.min(PIECES, Math.floor(count / LEAST));
    return {
      fitted: [piece('fitted', 'first half', 0, half)],
      tested: [
        piece('held-out', 'second half', half, count),
        { ...piece('longer', 'both halves', 0, count), maxTokens: 2 * limit },
      ],
      pieces: Array.from({ length: parts }, (_, p) =>
        piece(
          'fitted',
          `part ${p + 1} of ${parts}`,
          Math.floor((p * count) / parts),
          Math.floor(((p + 1) * count) / parts),
        ),
      ),
    };
  }

  private async cutSeveral(
    files: readonly NamedText[],
  ): Promise<{ fitted: Cut[]; tested: Cut[]; pieces: Cut[] }> {
    const chosen = files.slice(0, this.options.fitted ?? Math.ceil(files.length / 2));
    const cut = (file: NamedText, role: Cut['role'], maxTokens: number | null): Cut => ({
      ...file,
      role,
      maxTokens,
    });
    const longer: Cut[] = [];
    let limit = 0;
    for (const file of files) {
      const read = await this.tokens(file, 2);
      limit = read.limit;
      const count = read.tokens.ids.length;
      if (count < LEAST) {
        throw new RefusedError(
          told`${file.name} has ${count === 1 ? 'one token' : `${count} tokens`}: a plan needs at least ${LEAST} of each text.`,
        );
      }
      if (count > limit && chosen.includes(file)) {
        longer.push({ ...cut(file, 'longer', 2 * limit), name: `${file.name} (longer)` });
      }
    }
    return {
      fitted: chosen.map(file => cut(file, 'fitted', limit)),
      tested: [...files.slice(chosen.length).map(file => cut(file, 'held-out', limit)), ...longer],
      pieces: (this.options.fitted === undefined ? files : chosen).map(file => cut(file, 'fitted', limit)),
    };
  }

  /** Tokens of at most `times` the fitted length. */
  private async tokens(file: NamedText, times: number): Promise<{ tokens: TokenTable; limit: number }> {
    this.onStep(`Reading ${file.name}`);
    const { maxTokens } = this.options;
    // The model's context is not known before the first text is read.
    const wanted = times * (maxTokens ?? FITTED);
    const { model: ref, device } = this.options;
    const { tokens, model } = await this.engine.tokens(
      { model: ref, device, text: file.text, maxTokens: wanted },
      this.signal,
    );
    const limit = Math.min(
      maxTokens ?? FITTED,
      Math.floor((model.context ?? Infinity) / (maxTokens ? 1 : 2)),
    );
    return { tokens, limit };
  }

  private async dispose(id: string): Promise<void> {
    await this.engine.request('analysis/dispose', { id });
  }

  private async analyze(id: string, { text, maxTokens }: Cut): Promise<AnalysisSummary> {
    const { model, device } = this.options;
    const summary = await this.engine.analyze(
      { id, model, text, device, maxTokens, mechanisms: [], propagate: false },
      this.signal,
    );
    if (id === 'fitted 0') this.summary = summary;
    return summary;
  }

  private async test(id: string, cut: Cut, found: FoundPlan): Promise<PlanText> {
    const { effect, share, uniform, floor, random, wins, tokens } = await this.engine.testPlan(
      id,
      found,
      this.signal,
    );
    return {
      name: cut.name,
      role: cut.role,
      tokens,
      share,
      delta: effect.delta,
      ...(effect.embedding && { embedding: effect.embedding }),
      interval: meanInterval([effect.perToken]),
      carriers: carriersOf(effect.perToken),
      uniform: uniform.map(uniformJson),
      floor: floor && uniformJson(floor),
      random: withoutTokens(random),
      wins,
    };
  }
}

const uniformJson = ({ share, delta, difference, embedding, ...one }: UniformOnText) => ({
  ...settledJson(one),
  share,
  delta,
  ...(embedding && { embedding }),
  difference,
});

/** Where a token begins in the text; the end of the text behind the last one. Special tokens stand at no place. */
function offset(tokens: TokenTable, at: number): number {
  if (at === 0) return 0;
  for (let t = at; t < tokens.ids.length; t++) if (!tokens.special[t]) return tokens.start[t]!;
  return tokens.end.reduce((most, end) => Math.max(most, end), 0);
}

/** How far fits to single texts agree with the plan about one head. */
function stabilityOf(plan: PlannedHead, alone: readonly PlannedHead[]): HeadStability {
  const shareOf = ({ pairs, densePairs }: PlannedHead) => pairs / densePairs;
  const agreementOn = (agrees: (one: PlannedHead) => boolean) => {
    const votes = alone.filter(agrees).length;
    const agreement = votes / Math.max(1, alone.length);
    return { agreement, ...shareInterval95(votes, alone.length) };
  };
  return {
    core: plan.core,
    head: plan.head,
    mechanism: agreementOn(({ choice }) => choice.name === plan.choice.name),
    span: agreementOn(one => {
      const ratio = shareOf(one) / shareOf(plan);
      return ratio >= 2 / 3 && ratio <= 3 / 2;
    }),
    choices: alone.map(one => ({
      ...settledJson(one),
      share: shareOf(one),
    })),
  };
}

/** Beyond the budget by this factor, a text is named. */
const OVER = 1.02;

function notesOf(texts: readonly PlanText[], budget: number): string[] {
  const over = texts
    .filter(({ share }) => share > OVER * budget)
    .map(({ name, share }) => `${name} (${plainPercent(share)})`);
  const spent = `More than the budget is spent on ${over.join(', ')}: it holds for the fitted texts together and for the pairs of the dense model's queries and keys; on a shorter text a window is a larger share, and what chooses pairs by the text chooses others.`;
  const lost = texts
    .filter(({ wins, role }) => wins === 'no' && role !== 'fitted')
    .map(({ name }) => `On ${name} the plan does not win: a simpler choice lost less there.`);
  return over.length > 0 ? [spent, ...lost] : lost;
}

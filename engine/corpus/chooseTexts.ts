/**
 * Which texts of many a plan is fitted to. The texts that it is tested on are drawn first, so that every way of choosing is
 * tested on the same ones.
 */
import { deviation, shuffler } from 'd3-array';
import type { CorpusFile } from './files';
import { NearDuplicates } from './nearDuplicates';
import { plainPercent } from '../../shared/numbers';
import { told } from '../../shared/foreign';
import { seededUniform } from '../../shared/random';
import { CancelledError } from '../errors';
import { LEAST, type NamedText, type PlanEngine, type PlanTextsOptions } from '../service/plan/texts';

/**
 * `random`: drawn from all. `short-first`: the shortest (curriculum). `active`: one by one, each time the text on which the
 * plan so far and its best uniform rivals differ most (query by committee, Seung, Opper and Sompolinsky 1992).
 */
export const TEXT_CHOICES = ['random', 'short-first', 'active'] as const;
export type TextChoice = (typeof TEXT_CHOICES)[number];

export interface ChosenTexts {
  fitted: NamedText[];
  heldOut: NamedText[];
  /** Texts that are not used, and why. */
  skipped: { name: string; why: string }[];
  /** Usable texts that were neither fitted to nor tested on. */
  left: number;
}

export interface ChooseOptions extends PlanTextsOptions {
  choose: TextChoice;
  /** So many are fitted to, so many tested on. */
  texts: number;
  heldOut: number;
  seed: number;
}

interface Usable {
  name: string;
  tokens: number;
}

/** Of a large corpus so many texts, drawn at random, are read at all. */
const MOST_READ = 400;
/** Texts among which `active` looks for the next one, and uniform choices that judge beside the plan. */
const LOOKED_AT = 6;
const JUDGES = 3;

export async function chooseTexts(
  engine: PlanEngine,
  files: readonly CorpusFile[],
  read: (file: string) => Promise<string>,
  options: ChooseOptions,
  signal: AbortSignal,
  onStep: (message: string) => void = () => undefined,
): Promise<ChosenTexts> {
  const { model, device, maxTokens, texts, heldOut, seed, choose } = options;
  const skipped: ChosenTexts['skipped'] = [];
  /** By name only: texts may be large. */
  const usable: Usable[] = [];
  const known = new NearDuplicates();
  for (const { file } of shuffler(seededUniform(seed))([...files]).slice(0, MOST_READ)) {
    onStep(`Reading ${file}`);
    try {
      const text = await read(file);
      const same = known.add(file, text);
      if (same) {
        skipped.push({
          name: file,
          why: told`nearly the same as ${same.of} (${plainPercent(same.similarity)})`,
        });
        continue;
      }
      const { tokens } = await engine.tokens({ model, device, text, maxTokens }, signal);
      const count = tokens.ids.length;
      if (count >= LEAST) usable.push({ name: file, tokens: count });
      else skipped.push({ name: file, why: `it has ${count} tokens, and a plan needs ${LEAST}` });
    } catch (error) {
      if (error instanceof CancelledError) throw error;
      skipped.push({ name: file, why: error instanceof Error ? error.message : String(error) });
    }
  }
  const testing = usable.slice(0, Math.min(heldOut, Math.max(0, usable.length - 1)));
  const pool = usable.slice(testing.length);
  const fitted =
    choose === 'active'
      ? await chooseActively(engine, pool, read, options, signal, onStep)
      : (choose === 'random' ? pool : [...pool].sort((a, b) => a.tokens - b.tokens)).slice(0, texts);
  const withText = (list: readonly Usable[]) =>
    Promise.all(list.map(async ({ name }) => ({ name, text: await read(name) })));
  return {
    fitted: await withText(fitted),
    heldOut: await withText(testing),
    skipped,
    left: usable.length - fitted.length - testing.length,
  };
}

async function chooseActively(
  engine: PlanEngine,
  pool: readonly Usable[],
  read: (file: string) => Promise<string>,
  options: ChooseOptions,
  signal: AbortSignal,
  onStep: (message: string) => void,
): Promise<Usable[]> {
  const chosen = pool.slice(0, 1);
  const left = pool.slice(1);
  const dispose = (id: string) => engine.request('analysis/dispose', { id });
  const analyze = async ({ name }: Usable, id: string) => {
    const { model, device, maxTokens } = options;
    const text = await read(name);
    return engine.analyze({ id, model, device, text, maxTokens, mechanisms: [], propagate: false }, signal);
  };
  const ids: string[] = [];
  while (chosen.length < Math.min(options.texts, pool.length)) {
    onStep(`Choosing text ${chosen.length + 1} of ${options.texts}`);
    ids.push(`chosen ${chosen.length}`);
    await analyze(chosen.at(-1)!, ids.at(-1)!);
    const found = await engine.plan(ids, { ...options, maxRuns: Math.ceil(options.maxRuns / 2) }, signal);
    const judges = { ...found, uniform: found.uniform.slice(0, JUDGES), random: [] };
    let most = { at: 0, spread: -Infinity };
    for (const [at, candidate] of left.slice(0, LOOKED_AT).entries()) {
      await analyze(candidate, 'candidate');
      const { effect, uniform } = await engine.testPlan('candidate', judges, signal);
      await dispose('candidate');
      const spread = deviation([effect.delta, ...uniform.map(({ delta }) => delta)]) ?? 0;
      if (spread > most.spread) most = { at, spread };
    }
    chosen.push(...left.splice(most.at, 1));
  }
  for (const id of ids) await dispose(id);
  return chosen;
}

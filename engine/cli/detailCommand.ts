/** `detail`: what the views show of an analysed text beside its measures, as JSON, and maps as pictures. */
import { print, ProgressLine, startEngine } from './commands';
import { ASKED, FIRST_HEAD, OTHER, OWN, type DetailName } from './details';
import { optionsOf, refuseWrong, type DetailOptions } from './detailOptions';
import { bucketPicture, mapPicture } from './mapPicture';
import type { Engine } from '../engine';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { readText } from '../readText';
import { textInput } from '../service/provenance';
import { visibleLines } from '../../shared/foreign';
import type { AnalysisSummary, PatchedTexts } from '../../shared/protocol/engine';
import { chosenParams } from '../../shared/setting';

const SCHEMA = 'urn:attention-inspector:detail:1';

export async function detailCommand(
  what: DetailName,
  file: string,
  options: DetailOptions,
  signal: AbortSignal,
): Promise<void> {
  refuseWrong(what, options);
  const { json, png, model, device, maxTokens } = options;
  const others = ['from', 'reference'] as const;
  const named = others.flatMap(name => options[name] ?? []);
  await checkOutputPaths([json, png], [file, ...named]);
  const text = await readText(file);
  const [from, reference] = await Promise.all(others.map(name => readIfNamed(options[name])));
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const given = { id: OWN, model, text, device, maxTokens, mechanisms: [], propagate: false };
    const summary = await engine.analyze(given, signal);
    if (from !== undefined) await engine.analyze({ ...given, id: OTHER, text: from }, signal);
    if (png !== undefined) await writeWhole(png, await picture(engine, what, summary, options, signal));
    if (what === 'map' || (png !== undefined && json === undefined)) return;
    const result = await ASKED[what](engine, { ...options, reference }, summary, signal);
    const notes = notesOn(result);
    const { provenance, tokens } = summary;
    const read = [
      ...(from === undefined ? [] : [textInput('from', from)]),
      ...(reference === undefined ? [] : [textInput('reference', reference)]),
    ];
    const whole = {
      schema: SCHEMA,
      provenance: provenance && { ...provenance, inputs: [...provenance.inputs, ...read] },
      tokens: tokens.ids.length,
      what,
      asked: askedJson(engine, what, options),
      notes,
      result,
    };
    progress.clear();
    const written = `${JSON.stringify(whole, plainArrays, 2)}\n`;
    if (json !== undefined) await writeWhole(json, written);
    else print(written.trimEnd());
    for (const note of notes) process.stderr.write(`${visibleLines(note)}\n`);
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

const readIfNamed = async (file: string | undefined) =>
  file === undefined ? undefined : await readText(file);

/** What was asked for beside the text, the parameters of mechanisms as they come to on it. */
function askedJson(engine: Engine, what: DetailName, options: DetailOptions): object {
  const { json: _, png: __, from: ___, reference: ____, ...asked } = optionsOf(what, options);
  const { core } = options.head ?? FIRST_HEAD;
  const mechanisms = asked.mechanisms?.map(({ setting }) => ({
    name: setting.name,
    params: chosenParams(setting),
    setting: setting.key,
    settled: engine.analysis(OWN).settled(setting, core),
  }));
  return { ...asked, ...(mechanisms && { mechanisms }) };
}

/** Of patching: that its answers tell nothing, where they are one. */
function notesOn(result: unknown): string[] {
  const { answers } = (result ?? {}) as Partial<PatchedTexts>;
  if (!answers || answers.own.id !== answers.other.id) return [];
  const { id, text } = answers.own;
  return [
    `Both texts go on with ${JSON.stringify(text)} (${id}), so only the loss of the whole text tells them apart: --answers says which two tokens are compared.`,
  ];
}

/** A head's map, or the one sorted by buckets. */
function picture(
  engine: Engine,
  what: DetailName,
  summary: AnalysisSummary,
  { head = FIRST_HEAD, mechanisms, byValue }: DetailOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  const [chosen] = mechanisms;
  const of = { id: OWN, ...head };
  return what === 'map'
    ? mapPicture(engine, { ...of, byValue, mechanism: chosen?.setting }, summary, signal, note =>
        process.stderr.write(`note: ${note}\n`),
      )
    : bucketPicture(engine, { ...of, mechanism: chosen!.setting, round: 0 }, summary, signal);
}

/** Typed arrays as lists. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<number>)
    : value;
}

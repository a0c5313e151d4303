/** How far a changed run of one text goes toward what another text goes on with. */
import type { Analysis } from './analysis';
import { RefusedError, refused, told } from '../errors';
import { tokenLoss } from '../measure/loss';
import type { ModelOutput } from '../model/cut/cutModel';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { PatchParams, PatchedPart, PatchedTexts } from '../../shared/protocol/engine';
import { changeOf } from '../../shared/uncertainty';
import { argmax } from '../statistics';

export type Given = Pick<PatchParams, 'at' | 'answers'>;

/** @throws RefusedError where the second text cannot be put into the first, token by token */
export function refuseTexts(analysis: Analysis, other: Analysis, at: number): void {
  const [own, others] = [analysis.tokens.ids.length, other.tokens.ids.length];
  if (analysis.predicts !== 'next' || analysis.target) throw refused('patchDecoders');
  if (analysis.standIn || other.standIn) throw refused('patchDense');
  if (analysis.model !== other.model) throw refused('patchModel');
  if (own !== others) throw refused('patchLength', own, others);
  refuseToken(analysis, at);
}

export function refuseToken({ tokens }: Analysis, token: number): void {
  if (!(Number.isInteger(token) && token >= 0 && token < tokens.ids.length)) throw refused('noToken', token);
}

export const lastOf = ({ tokens }: Analysis): number => tokens.ids.length - 1;

export class PatchAnswers {
  private constructor(
    private readonly lossOf: (output: ModelOutput) => Promise<Float32Array>,
    readonly texts: PatchedTexts,
    private readonly ownLoss: Float32Array,
  ) {}

  /**
   * @param own the output of the text that is run, as it is and run as it is with what is put in, so that what is put into its own
   * text changes nothing at all; `other`: of the other text
   */
  static async of(
    analysis: Analysis,
    own: ModelOutput,
    other: ModelOutput,
    { at = lastOf(analysis), answers }: Given,
    tokenizer: Tokenizer,
    signal: AbortSignal,
  ): Promise<PatchAnswers> {
    const [ownRow, otherRow] = [await own.read(at, at + 1), await other.read(at, at + 1)];
    const ids = answers ?? { own: argmax(ownRow), other: argmax(otherRow) };
    const missing = [ids.own, ids.other].find(id => !(Number.isInteger(id) && id >= 0 && id < ownRow.length));
    if (missing !== undefined)
      throw new RefusedError(told`The vocabulary has no token of the id ${missing}.`);
    const differences = { own: difference(ownRow, ids), other: difference(otherRow, ids) };
    const { tokens } = await tokenizer.describe(Int32Array.of(ids.own, ids.other));
    const [ownText = '', otherText = ''] = tokens.text;
    const named = { own: { id: ids.own, text: ownText }, other: { id: ids.other, text: otherText } };
    const lossOf = (output: ModelOutput) => tokenLoss(output, analysis.written.ids, analysis.context(signal));
    return new PatchAnswers(lossOf, { at, answers: named, differences }, await lossOf(own));
  }

  /** What a run of the text with something of the other one changes. */
  async judge(output: ModelOutput): Promise<PatchedPart> {
    const { at, answers, differences } = this.texts;
    const loss = await this.lossOf(output);
    const perToken = loss.map((value, token) => value - this.ownLoss[token]!);
    const ids = { own: answers.own.id, other: answers.other.id };
    const found = difference(await output.read(at, at + 1), ids);
    const whole = differences.other - differences.own;
    const restored = whole === 0 ? null : (found - differences.own) / whole;
    return { loss: changeOf({ perToken }), difference: found, restored };
  }
}

const difference = (logits: Float32Array, { own, other }: { own: number; other: number }) =>
  logits[other]! - logits[own]!;

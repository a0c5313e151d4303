import * as vscode from 'vscode';

/**
 * What was tried here: its weights in an export of our own (docs/real-models.md), or no more than small models of the same
 * family and form (docs/models.md). No file of the hub was.
 */
export type Tried = { weights: string } | { family: string };

export interface Recommended {
  /** On the hub, with ONNX files. */
  id: string;
  /** Millions. */
  parameters: number;
  why(): string;
  tried: Tried;
}

/** Models of the hub to begin with, each for a reason of its own, the smaller ones first. */
export const RECOMMENDED: readonly Recommended[] = [
  {
    id: 'sentence-transformers/all-MiniLM-L6-v2',
    parameters: 22.7,
    why: () => vscode.l10n.t('A small encoder: every word sees all others, no loss to predict.'),
    tried: { weights: 'minilm' },
  },
  {
    id: 'Xenova/t5-small',
    parameters: 60.5,
    why: () =>
      vscode.l10n.t('An encoder-decoder: cross attention between two texts, distances as a learned bias.'),
    tried: { family: 'T5' },
  },
  {
    id: 'Xenova/distilgpt2',
    parameters: 81.9,
    why: () => vscode.l10n.t('The classic of interpretability in six layers, with induction heads.'),
    tried: { family: 'GPT-2' },
  },
  {
    id: 'Xenova/bert-base-uncased',
    parameters: 110,
    why: () =>
      vscode.l10n.t('What much of the literature on roles of heads is about: separators, syntax, positions.'),
    tried: { family: 'BERT' },
  },
  {
    id: 'Xenova/multilingual-e5-small',
    parameters: 118,
    why: () => vscode.l10n.t('An encoder of many languages: what becomes of the embedding of a text.'),
    tried: { weights: 'e5' },
  },
  {
    id: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    parameters: 135,
    why: () => vscode.l10n.t('A modern small language model: rotary positions, three queries to a key.'),
    tried: { weights: 'smollm2' },
  },
  {
    id: 'answerdotai/ModernBERT-base',
    parameters: 149,
    why: () =>
      vscode.l10n.t(
        'Local windows it was trained with in two of three layers: what native sparsity looks like.',
      ),
    tried: { family: 'ModernBERT' },
  },
  {
    id: 'onnx-community/Qwen2.5-0.5B-Instruct',
    parameters: 494,
    why: () =>
      vscode.l10n.t('Long contexts and several languages; take an 8-bit file where memory is short.'),
    tried: { family: 'Qwen 2' },
  },
];

/** "about 540 MB in float32": four bytes for each parameter; the hub says the size of each file. */
export function sizeOf({ parameters }: Recommended): string {
  const megabytes = Number((4 * parameters).toPrecision(2));
  return vscode.l10n.t('about {0} MB in float32', megabytes);
}

export function triedWords({ tried }: Recommended): string {
  return 'weights' in tried
    ? vscode.l10n.t('Its weights were tried here, in an export of our own.')
    : vscode.l10n.t('Not tried here: it shares its form with small models that were ({0}).', tried.family);
}

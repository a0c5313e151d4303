import { sparseTransformer, type MaskOracle } from '../edges';

export const oracle: MaskOracle = (_input, { block, summary }) =>
  sparseTransformer.fixed(Number(block), Number(summary));

import { sparseTransformer, type MaskOracle } from '../edges';

export const oracle: MaskOracle = (_input, { stride }) => sparseTransformer.strided(Number(stride));

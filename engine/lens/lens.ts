import type {
  LensDocument,
  LensName,
  LensResults,
  MechanismParams,
  ParameterInfo,
} from '../../shared/protocol/engine';
import type { Analysis } from '../service/analysis';
import type { Tokenizer } from '../model/tokens/tokenizer';

/** What a lens may use beside the finished analysis. */
export interface LensContext {
  signal: AbortSignal;
  core: number;
  head: number;
  tokenizer: Tokenizer;
  documents: readonly LensDocument[];
  /** Runs the lens makes of the model go through here: 0..1. */
  onProgress(fraction: number): void;
}

/** A view on an idea that cannot stand in a model trained dense. One file each; `registry.ts` lists them. */
export interface Lens<L extends LensName> {
  readonly name: L;
  readonly title: string;
  readonly paper: string;
  readonly parameters: ParameterInfo[];
  look(analysis: Analysis, params: MechanismParams, context: LensContext): Promise<LensResults[L]>;
}

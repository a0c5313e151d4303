/** A profile as the page of a report holds it. */
import type { CorpusReport } from '../../shared/reportData';
import { today } from '../service/report';
import { VERSION } from '../version';
import type { Corpus } from './corpus';
import { profileOf } from './views';

export const corpusReport = (corpus: Corpus, document: string): CorpusReport => ({
  version: VERSION,
  made: today(),
  document,
  profile: profileOf(corpus),
});

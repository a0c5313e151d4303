/** What is written for others: plans for other libraries, the HTML report. */
import type { AnalysisSummary } from './analysis';
import type { InterventionResult } from './interventions';
import type { Spending } from './mechanisms';
import type { Plan, RunEffect } from './plans';

/** `flex`: FlexAttention masks in Python; `minference`: its best patterns; `duo`: DuoAttention's full heads. */
export type PlanFormat = 'json' | 'csv' | 'flex' | 'minference' | 'duo';

export interface ExportPlanParams {
  id: string;
  plan: Plan;
  format: PlanFormat;
}

export interface ExportedPlan {
  /** File name to suggest. */
  name: string;
  text: string;
  /** Sentences on what the format cannot say: approximations and heads left dense. */
  notes: string[];
  /** Of formats that say less than the plan: what the written form spends on this text, and how the model runs on with it. */
  form?: { spending: Spending; effect: RunEffect };
}

/** The language of a page other than English: its tag, and its words by the English ones. */
export interface PageLanguage {
  tag: string;
  words: Readonly<Record<string, string>>;
}

/** `analysis/report`: the views with this analysis inside, as one HTML file that opens without a network. */
export interface ReportParams {
  id: string;
  /** Name of the document, for the title. */
  document: string;
  /** As it was analysed: what the token offsets are of. */
  text: string;
  /** As the analysis gave it, with the mechanisms computed since. */
  summary: AnalysisSummary;
  plan: Plan | null;
  intervention: InterventionResult | null;
  language?: PageLanguage;
}

export { KEPT_CODES, LINK_CODES, LOST_CODES } from '../reportData';

export type {
  MassCodes,
  ReportBuckets,
  ReportCore,
  ReportData,
  ReportDetails,
  ReportHead,
} from '../reportData';

/** The tools that assistants call: the same for the MCP server of the command line and for the editor. */
import * as v from 'valibot';
import { analyzeAttention, compareMechanisms, explainToken, headsByRole } from './answers';
import * as schemas from './schemas';
import { Texts, type ToolHost } from './texts';
import { oneSentence, told } from '../foreign';

export type { ToolHost } from './texts';

export interface Tool {
  name: string;
  title: string;
  description: string;
  input: v.GenericSchema;
  output: v.GenericSchema;
  answer(texts: Texts, input: unknown, signal: AbortSignal): Promise<unknown>;
}

/** What a tool fails with: one sentence. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

const tool = <I extends v.GenericSchema, O extends v.GenericSchema>(
  definition: Omit<Tool, 'answer' | 'input' | 'output'> & {
    input: I;
    output: O;
    answer(texts: Texts, input: v.InferOutput<I>, signal: AbortSignal): Promise<v.InferInput<O>>;
  },
): Tool => definition as unknown as Tool;

/** Said to whoever reads the answers. */
export const COUNTING = 'Tokens, cores, layers and heads are counted from 0; loss and entropy are in nats.';

export const TOOLS: readonly Tool[] = [
  tool({
    name: 'analyze_attention',
    title: 'Analyze attention',
    description:
      'Run a transformer on a text and measure every attention head: its roles (induction, previous token, ...), entropy, distances and spans.',
    input: schemas.analyzeInput,
    output: schemas.analyzeOutput,
    answer: analyzeAttention,
  }),
  tool({
    name: 'explain_token',
    title: 'Explain a token',
    description:
      'For a token or word of a text: which tokens it looks at, which look at it, and how well the model predicts it; in one head or on average.',
    input: schemas.explainInput,
    output: schemas.explainOutput,
    answer: explainToken,
  }),
  tool({
    name: 'compare_mechanisms',
    title: 'Compare attention mechanisms',
    description:
      'What efficient attention (windows, hashing, routing, ...) would keep of a text at an equal budget of query-key pairs, and what that costs in loss.',
    input: schemas.compareInput,
    output: schemas.compareOutput,
    answer: compareMechanisms,
  }),
  tool({
    name: 'heads_by_role',
    title: 'Heads by role',
    description:
      'The heads of a model by what they do, on a text or, without one, on the canonical probe of repeated random words; with what the model loses without each.',
    input: schemas.rolesInput,
    output: schemas.rolesOutput,
    answer: headsByRole,
  }),
];

/** Answers calls of the tools. */
export class Toolbox {
  private readonly texts: Texts;

  constructor(host: ToolHost) {
    this.texts = new Texts(host);
  }

  /** @throws ToolError */
  async call(name: string, input: unknown, signal: AbortSignal): Promise<Record<string, unknown>> {
    const found = TOOLS.find(one => one.name === name);
    if (!found) throw new ToolError(told`There is no tool "${name}".`);
    const read = v.safeParse(found.input, input ?? {});
    if (!read.success) throw new ToolError(inputSentence(found, read.issues[0]));
    try {
      const answer = await found.answer(this.texts, read.output, signal);
      return v.parse(found.output, answer) as Record<string, unknown>;
    } catch (error) {
      throw new ToolError(oneSentence(error instanceof Error ? error.message : String(error)), {
        cause: error,
      });
    }
  }
}

function inputSentence({ name }: Tool, issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  const where = path === null ? name : `${name}, ${path}`;
  return told`Wrong input of ${where}: ${issue.message}.`;
}

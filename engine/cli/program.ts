/**
 * What the command line does, over the same service as the extension, in the child of its supervisor.
 * Exit codes: 0 done, 2 wrong usage, 3 the input is refused, 1 anything else. Errors are one sentence on stderr.
 */
import { Command, CommanderError, Option } from 'commander';
import { findMechanism, mechanismInfos, mechanisms as registry } from '../attention/registry';
import { parseAttention, refuseBesideAttention } from './attention';
import {
  DEVICES,
  parseUnit,
  parseBudget,
  parseCount,
  parseDevice,
  parseMechanisms,
  parseMostTokens,
  parsePairs,
} from './arguments';
import { parseWithout, WITHOUT_SYNTAX } from './interventions';
import { analyzeCommand, cacheCommand, attendCommand, listCommand, verifyCommand } from './commands';
import { completionScript, SHELLS } from './completion';
import { TEXT_CHOICES } from '../corpus/chooseTexts';
import { detailCommand } from './detailCommand';
import {
  parseAnswers,
  parseDetail,
  parseEdges,
  parseHead,
  parseId,
  parseLengths,
  parsePart,
} from './detailOptions';
import { DETAILS, PARTS, type DetailName } from './details';
import { diffCommand, parseFailOver, type DiffOptions } from './diffCommand';
import { headsCommand } from './headsCommand';
import { parseTokens } from './predict';
import { planCommand } from './planCommand';
import { mergeCommand, parseShard, profileCommand } from './profileCommand';
import { PLACES } from './shards/shards';
import { lenses } from '../lens/registry';
import { VERSION } from '../version';
import { RefusedError, told, UsageError } from '../errors';
import { BUDGET_UNITS, type Intervention } from '../../shared/protocol/engine';
import { outputError } from '../export/outputFile';
import { oneSentence, visibleLines } from '../../shared/foreign';
import { tellSupervisor, type ParentMessage } from '../runtime/supervised';
import { defaultLimitMiB } from '../runtime/memory';
import { STEP_SECONDS, watch } from '../runtime/watch';

/** Of each text, unless told otherwise: short passes over many texts tell more of a head than few long ones. */
const PROFILED_TOKENS = 512;

/** A group of options that most commands have. */
const MODEL = 'The model:';

const interrupt = new AbortController();
const { signal } = interrupt;

function build(): Command {
  const program: Command = new Command('attention-inspector')
    .description(
      'Where the attention heads of a transformer look on a text, and what efficient attention would keep of it.',
    )
    .version(VERSION)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError(false)
    .allowExcessArguments(false);
  const mechanisms = mechanismInfos.map(info => info.name).join(', ');
  const plannable = registry.filter(({ settings }) => settings).map(({ info }) => info.name);
  const model = [
    '--model <ref>',
    'bundled, a bundled name, an .onnx file, a folder, or a hub id',
    'bundled',
  ] as const;
  const device = ['--device <name>', DEVICES.join(', '), parseDevice, 'auto'] as const;

  program.commandsGroup('Texts:');
  command(program, 'analyze', 'Analyse a text: every head of the model, and how mechanisms would change it.')
    .argument('<file>', 'a UTF-8 text, or - for standard input')
    .optionsGroup(MODEL)
    .option(...model)
    .option(...device)
    .optionsGroup('The text:')
    .option(
      '--target <file>',
      'encoder-decoders: the text the decoder reads (default: what the model writes itself)',
    )
    .option('--max-tokens <n>', 'cut the text after so many tokens', parseMostTokens)
    .optionsGroup('What is computed:')
    .option('--mechanisms <list>', `NAME[:key=value;key=value],... of ${mechanisms}`, parseMechanisms, [])
    .option(
      '--budget <share>',
      'share of the dense query-key pairs, such as 10%: mechanisms named without parameters come as near to it as theirs allow, from below',
      parseBudget,
    )
    .option(
      '--budget-in <unit>',
      `what the budget is a share of: ${BUDGET_UNITS.join(', ')}`,
      parseUnit,
      'pairs',
    )
    .option(
      '--attention <what>',
      'no dense pass: NAME[:key=value;key=value] in every core, or the heads of a PLAN.json; figures from exact rows of a sample of queries',
      parseAttention,
    )
    .option('--propagate', 'also run the text on with each mechanism in every layer', false)
    .option('--compare', 'measure the mechanisms in more detail: edge recall, divergence, intervals', false)
    .option(
      '--without <what>',
      `take attention away and run the text on, again for more: each alone and all at once; ${WITHOUT_SYNTAX.join(', ')}; tokens from 0, ranges 5-9 with both ends, target:5-9 of the target text`,
      (value: string, earlier: Intervention[]) => [...earlier, parseWithout(value)],
      [],
    )
    .option(
      '--predict <tokens>',
      'the five likeliest next tokens at these (counted from 0, commas between them; last: the last one), as the model is and with each change that is run',
      value => parseTokens('--predict', value),
      [],
    )
    .optionsGroup('What is written:')
    .option('--json <out>', 'write the results as JSON (- for standard output)')
    .option('--csv <out>', 'write the measures of every head as CSV')
    .option('--html <out>', 'write an interactive report: one HTML file that opens without a network')
    .option('--tensors <out>', 'write tokens, logits and loss as safetensors')
    .option('--weights', 'with --tensors: also the dense attention of every head', false)
    .action((file: string, { maxTokens, ...options }) => {
      if (options.weights && options.tensors === undefined) {
        throw new UsageError('--weights goes with --tensors, which says where to write them.');
      }
      if (options.compare && options.mechanisms.length === 0) {
        throw new UsageError('--compare goes with --mechanisms, which says what to compare.');
      }
      if (options.budget !== undefined && options.mechanisms.length === 0) {
        throw new UsageError('--budget goes with --mechanisms, which says what spends it.');
      }
      refuseBesideAttention(options);
      tellSupervisor({ subject: options.model });
      return analyzeCommand(file, { ...options, maxTokens: maxTokens ?? null }, signal);
    });

  command(
    program,
    'plan',
    'A mechanism for each head within a budget: fitted to the first half of the texts (of one text), tested on the rest.',
  )
    .argument(
      '<files...>',
      'UTF-8 texts, or - for standard input; folders and patterns, from which texts are chosen',
    )
    .optionsGroup('The plan:')
    .requiredOption('--budget <share>', 'share of the dense query-key pairs, such as 0.1 or 10%', parseBudget)
    .option(
      '--budget-in <unit>',
      `what the budget is a share of: ${BUDGET_UNITS.join(', ')}`,
      parseUnit,
      'pairs',
    )
    .optionsGroup(MODEL)
    .option(...model)
    .option(...device)
    .optionsGroup('The plan:')
    .option(
      '--mechanisms <names>',
      `choose from these only, of ${plannable.join(', ')}`,
      (value: string) => value.split(',').map(name => findMechanism(name.trim()).info.name),
      [],
    )
    .optionsGroup('The texts:')
    .option(
      '--max-tokens <n>',
      'fit to so many tokens of a text (default: half of the context, at most 1024)',
      parseMostTokens,
    )
    .optionsGroup('The plan:')
    .option(
      '--runs <n>',
      'run the model at most so often to find the plan; what it is compared with is always run',
      value => parseCount('--runs', value),
      60,
    )
    .option(
      '--minutes <n>',
      'make fewer runs rather than take longer for a fit; how many then depends on the machine (default: no limit)',
      value => parseCount('--minutes', value),
    )
    .optionsGroup('The texts:')
    .option('--texts <n>', 'fit to so many of the texts (of a folder: 4)', value =>
      parseCount('--texts', value),
    )
    .option(
      '--held-out <n>',
      'with chosen texts: test on at most so many others',
      value => parseCount('--held-out', value),
      12,
    )
    .addOption(
      new Option('--choose <how>', 'how the fitted texts are chosen').choices(TEXT_CHOICES).default('random'),
    )
    .option('--seed <n>', 'another draw of texts', value => parseCount('--seed', value), 1)
    .optionsGroup('The plan:')
    .option('--no-stability', 'do not fit to each text alone (then nothing is said on how far they agree)')
    .optionsGroup('What is written:')
    .option('--json <out>', 'write the plan with all figures as JSON')
    .option('--csv <out>', 'write the plan as CSV, a line per head')
    .option('--flex <out>', "write the plan as masks for PyTorch's FlexAttention")
    .option('--minference <out>', 'write the plan as a best-pattern file of MInference')
    .option('--duo <out>', 'write the plan as a head file of DuoAttention')
    .action((files: string[], { maxTokens, texts, ...options }) => {
      tellSupervisor({ subject: options.model });
      const limits = { maxTokens: maxTokens ?? null, texts: texts ?? null };
      return planCommand(files, { ...options, ...limits }, signal);
    });

  command(
    program,
    'diff',
    'What changed between two analyses: of two texts, models or settings. The files are those of analyze --json.',
  )
    .argument('<a>', 'the analysis before')
    .argument('<b>', 'the analysis after')
    .option(
      '--fail-over <nats>',
      'exit with 1 where a loss grew by more nats per token than this',
      parseFailOver,
    )
    .option('--json <out>', 'write the differences as JSON')
    .action((a: string, b: string, options: DiffOptions) => diffCommand(a, b, options));

  command(
    program,
    'detail',
    'What the views show of a text: a lens, the buckets or the map of a head, fitted spans, costs by formula or measured; where tokens look, and what a mechanism loses there; the loss by frequency of the tokens and by context; what the model loses without each head; what each head says to the logits directly; attention multiplied over the layers (rollout); what weighs a head by its values; and what each head, layer or edge carries from another text of as many tokens (patch).',
  )
    .argument('<what>', DETAILS.join(', '), parseDetail)
    .argument('<file>', 'a UTF-8 text, or - for standard input')
    .option(...model)
    .option(...device)
    .option('--max-tokens <n>', 'cut the text after so many tokens', parseMostTokens)
    .option(
      '--head <core.head>',
      'the head (default: 0.0; token: the mean of all; spans: also what lies outside of its span)',
      parseHead,
    )
    .option('--lens <name>', `lens: one of ${Object.keys(lenses).join(', ')}`)
    .option('--param <key=value...>', 'lens: its parameters')
    .option(
      '--mechanism <list>',
      'buckets, lost: NAME[:key=value;key=value]; map: what it keeps; cost, loss, token: several',
      parseMechanisms,
      [],
    )
    .option(
      '--budget <share>',
      'spans: fitted to this share of the pairs instead of 95 % of the mass',
      parseBudget,
    )
    .option(
      '--tokens <tokens>',
      'rollout, token, attribution: of these tokens (counted from 0, commas between them; last: the last one, the default; attribution: of the whole text); patch: whose next token is looked at',
      value => parseTokens('--tokens', value),
    )
    .option(
      '--answer <id>',
      'attribution at --tokens: the id of the vocabulary that is asked about (default: the token that comes)',
      parseId,
    )
    .option('--resample', 'ablation: also with the outputs of heads dealt out anew among the tokens', false)
    .option('--measure', 'cost: also timed on this machine, with a whole forward', false)
    .option(
      '--lengths <tokens>',
      "cost: at these lengths, commas between them (default: from 128 to 65,536, and the text's own)",
      parseLengths,
    )
    .option('--reference <file>', 'loss: a text in which the tokens are counted (default: the text itself)')
    .option('--json <out>', 'write the result as JSON (default: to standard output)')
    .option('--from <file>', 'patch: the text that is put into this one')
    .option(
      '--part <what>',
      `patch: one of ${PARTS.join(', ')}: each head, the residual stream before each layer at each token, or what --head carries from one token to another (default: heads)`,
      parsePart,
    )
    .option(
      '--put <tokens>',
      'patch, residual: these tokens (default: from the first that differs to the one that is looked at)',
      value => parseTokens('--put', value),
    )
    .option(
      '--edges <edges>',
      'patch, edges: QUERY>KEY, commas between them (default: the 16 that change most)',
      parseEdges,
    )
    .option(
      '--answers <own,other>',
      'patch: ids of the vocabulary whose logits are compared (default: the likeliest next token of each text)',
      parseAnswers,
    )
    .option('--by-value', 'map, token: of the norms of what keys give instead of their masses', false)
    .option(
      '--png <out>',
      'map, buckets: write the map (of buckets: sorted by them) as a picture, the square root of its mass',
    )
    .action((what: DetailName, file: string, { param, mechanism, maxTokens, ...options }) => {
      tellSupervisor({ subject: options.model });
      const given = { param: parsePairs(param ?? []), mechanisms: mechanism, maxTokens: maxTokens ?? null };
      return detailCommand(what, file, { ...options, ...given }, signal);
    });

  program.commandsGroup('Models:');
  command(
    program,
    'heads',
    'The heads of a model on the canonical probe, random words said over and over: their roles, and what the model loses without each.',
  )
    .option(...model)
    .option(...device)
    .option('--probe', 'the canonical probe (the default)', true)
    .option('--seed <n>', 'another choice of words', value => parseCount('--seed', value), 1)
    .option(
      '--resample',
      'also without each head by resampling: its outputs dealt out anew among the tokens',
      false,
    )
    .option('--json <out>', 'write the results as JSON')
    .option('--csv <out>', 'write the results as CSV, a line per head')
    .action(options => {
      tellSupervisor({ subject: options.model });
      return headsCommand(options, signal);
    });

  program.commandsGroup('Many texts:');
  command(
    program,
    'profile',
    'The heads of a model over many texts: distributions, roles, and where each head is most itself.',
  )
    .argument('<texts...>', 'files, folders and patterns')
    .requiredOption('--output <folder>', 'the profile: Parquet tables; what is there already is gone on with')
    .option('--root <folder>', 'what texts are named from (default: the folder that holds all that is named)')
    .option('--html <file>', 'also a report with the Corpus view, as one HTML file')
    // Said to the shards of a profile: of options given twice the last counts.
    .addOption(new Option('--no-html').hideHelp())
    .addOption(new Option('--results <folder>').hideHelp())
    .option(...model)
    .option(...device)
    .option('--max-tokens <n>', 'read so many tokens of each text', parseMostTokens, PROFILED_TOKENS)
    .option(
      '--mechanisms <list>',
      'also what these would keep in each head: as for analyze',
      parseMechanisms,
      [],
    )
    .option('--propagate', 'also run every text on with each mechanism in every layer', false)
    .option('--shard <i/n>', 'only the i-th of n parts of the texts; merge puts them together', parseShard)
    .option('--workers <n>', 'so many processes side by side', value => parseCount('--workers', value), 1)
    .addOption(
      new Option('--on <place>', 'where the workers are: a job array of Slurm, tasks of Ray')
        .choices(PLACES)
        .default('here'),
    )
    .option(
      '--sbatch <options>',
      'with --on slurm: options for sbatch, such as "--partition=gpu --cpus-per-task=4"',
      value => value.split(/\s+/).filter(word => word !== ''),
      [],
    )
    .option('--cpus <n>', 'with --on ray: processors of a worker', value => parseCount('--cpus', value), 1)
    .action((texts: string[], options) => {
      const inWorkers = options.workers > 1 || options.on !== 'here';
      if (options.shard && inWorkers) throw new UsageError('A shard is profiled by one worker.');
      tellSupervisor({ subject: options.model });
      return profileCommand(texts, options, signal);
    });

  command(program, 'merge', 'Put profiles of different texts together, as if all had been profiled at once.')
    .argument('<folders...>', 'profiles')
    .requiredOption('--output <folder>', 'the profile to write')
    .option('--html <file>', 'also a report with the Corpus view, as one HTML file')
    .action((folders: string[], options) => {
      tellSupervisor({ subject: folders.join(', ') });
      return mergeCommand(folders, options);
    });

  program.commandsGroup('Tensors:');
  command(program, 'attend', 'Run one mechanism on given tensors (q, k, v and its own).')
    .argument('<in>', 'a safetensors file')
    .requiredOption('--mechanism <name>', `one of ${mechanisms}`)
    .option('--param <key=value...>', 'parameters of the mechanism')
    .option('--causal', 'queries see no later keys (transformer-xl and compressive: always)', false)
    .option('--weights', 'also write the attention weights', false)
    .option(...device)
    .requiredOption('--output <out>', 'the safetensors file to write')
    .action((file: string, { param, ...options }) => {
      tellSupervisor({ subject: file });
      return attendCommand(file, { ...options, params: parsePairs(param ?? []) }, signal);
    });

  program.commandsGroup('Models:');
  const models = command(program, 'models', 'Models that can be analysed.');
  command(models, 'list', 'List the bundled models, those below the current folder and those downloaded.', {
    isDefault: true,
  })
    .argument('[id]', 'a hub id: list its variants instead')
    .action((id: string | undefined) => listCommand(id, signal));
  command(models, 'cache', 'Show the downloaded models and their sizes, or remove them.')
    .option('--clear', 'remove all of them', false)
    .action((options: { clear: boolean }) => cacheCommand(options));
  command(models, 'verify', 'Cut a model at its attention and prove it against the uncut model.')
    .argument('<ref>', 'the model')
    .option(...device)
    .option('--json <out.json>', 'also write what was found and proved as JSON')
    .action((ref: string, options) => {
      tellSupervisor({ subject: ref });
      return verifyCommand(ref, options, signal);
    });
  program.commandsGroup('For shells and assistants:').helpCommand('help [command]');
  command(
    program,
    'mcp',
    'Serve tools for assistants (MCP) over standard input and output: texts and models below the current folder.',
  )
    .option(...model)
    .option(...device)
    .action(async options => {
      tellSupervisor({ subject: options.model });
      // Loaded only here: no other command waits for it.
      const { mcpCommand } = await import('./mcpCommand');
      return mcpCommand(options, signal);
    });
  command(program, 'completion', 'Print the completion script of a shell.')
    .argument('<shell>', SHELLS.join(', '))
    .action((name: string) => {
      const shell = SHELLS.find(one => one === name);
      if (!shell)
        throw new UsageError(told`There is no completion for ${name}; there is for ${SHELLS.join(', ')}.`);
      process.stdout.write(completionScript(program, shell));
    });
  return program;
}

/** A sub-command that reports errors like the program itself. */
function command(parent: Command, name: string, description: string, options = {}): Command {
  return parent.command(name, options).description(description).copyInheritedSettings(parent);
}

/** The exit code that the error asks for, once its sentence is told. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    const text = error.code === 'commander.help' ? 'error: a command is missing' : error.message;
    const [, first = '', rest = ''] = /^error: (.)(.*?)\.?(\n|$)/.exec(text) ?? [];
    tell(`${first.toUpperCase()}${rest} (see --help)`);
    return 2;
  }
  tell(error instanceof Error ? error.message : String(error));
  if (process.env.ATTENTION_INSPECTOR_DEBUG && error instanceof Error) {
    const { cause } = error;
    const stack = `${error.stack}${cause instanceof Error ? `\n${cause.stack}` : ''}`;
    process.stderr.write(`${visibleLines(stack)}\n`);
  }
  return error instanceof UsageError ? 2 : error instanceof RefusedError ? 3 : 1;
}

/** One line with a full stop. */
function tell(message: string): void {
  tellSupervisor({ told: true });
  process.stderr.write(`${oneSentence(message)}\n`);
}

/** An interrupt stops the work at its next step. The terminal tells this process as well: the supervisor says what it means. */
process.on('SIGINT', () => undefined);
process.on('message', (message: ParentMessage) => message === 'interrupt' && interrupt.abort());
// Not `exit`, which waits for a read that is under way: of a pipe, for ever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
watch.start({ stepSeconds: STEP_SECONDS });
// Also of commands that load no model: what they read may be anybody's.
watch.allow(defaultLimitMiB());

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Somebody closed the other end (`| head`): nothing more to say.
  if (error.code === 'EPIPE') process.exit(0);
  tell(outputError('to standard output', error).message);
  process.exit(1);
});

void watch
  .during(() => build().parseAsync())
  .then(
    () => 0,
    error => report(error),
  )
  .then(code => {
    // Native threads must not keep the process, but what was printed must be out.
    process.exitCode = code;
    setImmediate(() => process.stdout.write('', () => process.stderr.write('', () => process.exit(code))));
  });

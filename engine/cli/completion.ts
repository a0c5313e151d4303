/** Completion scripts for shells, written from the program's own definitions. */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;
export type Shell = (typeof SHELLS)[number];

interface Words {
  /** The words that lead to the command, such as `models verify`. */
  path: string;
  subcommands: { name: string; about: string }[];
  options: { flag: string; about: string; takesValue: boolean }[];
}

export function completionScript(program: Command, shell: Shell): string {
  const name = program.name();
  const all = wordsOf(program, []);
  if (shell === 'fish') return fish(name, all);
  if (shell === 'powershell') return powershell(name, all);
  const script = bash(name, all);
  return shell === 'bash'
    ? script
    : `#compdef ${name}\nautoload -U +X bashcompinit && bashcompinit\n${script}`;
}

function wordsOf(command: Command, path: string[]): Words[] {
  const subcommands = command.createHelp().visibleCommands(command);
  const own: Words = {
    path: path.join(' '),
    subcommands: subcommands.map(one => ({ name: one.name(), about: one.description() })),
    options: command
      .createHelp()
      .visibleOptions(command)
      .flatMap(option =>
        [option.long, option.short].flatMap(flag =>
          flag ? [{ flag, about: option.description, takesValue: option.required || option.optional }] : [],
        ),
      ),
  };
  return [own, ...command.commands.flatMap(one => wordsOf(one, [...path, one.name()]))];
}

/** Words of the command so far are matched, the longest first; anything else completes to files. */
function bash(name: string, all: readonly Words[]): string {
  const byLength = [...all].sort((a, b) => b.path.length - a.path.length);
  const cases = byLength.map(({ path, subcommands, options }) => {
    const words = [...subcommands.map(one => one.name), ...options.map(one => one.flag)].join(' ');
    return `    ${path === '' ? '*' : `"${path} "*`}) words="${words}" ;;`;
  });
  const function_ = `_${name.replace(/\W/g, '_')}`;
  return `${function_}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  local typed="\${COMP_WORDS[*]:1:COMP_CWORD-1} "
  case "$typed" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ "$current" == -* ]] || COMPREPLY+=($(compgen -f -- "$current"))
}
complete -o filenames -F ${function_} ${name}
`;
}

function fish(name: string, all: readonly Words[]): string {
  const lines = all.flatMap(({ path, subcommands, options }) => {
    const place =
      path === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${path.split(' ').at(-1)}`;
    const line = (rest: string, about: string) =>
      `complete -c ${name} -n '${place}' ${rest} -d ${quoted(about)}`;
    return [
      ...subcommands.map(one => line(`-a ${one.name}`, one.about)),
      ...options.map(({ flag, about, takesValue }) =>
        line(
          `${flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`}${takesValue ? ' -r' : ''}`,
          about,
        ),
      ),
    ];
  });
  return `${lines.join('\n')}\n`;
}

/** As for bash; where it gives nothing PowerShell itself completes to files. */
function powershell(name: string, all: readonly Words[]): string {
  const byLength = [...all].sort((a, b) => b.path.length - a.path.length);
  const commands = byLength.map(({ path, subcommands, options }) => {
    const words = [
      ...subcommands.map(one => ({ word: one.name, about: one.about })),
      ...options.map(({ flag, about }) => ({ word: flag, about })),
    ];
    const lines = words.map(({ word, about }) => `      ${literal(word)} = ${literal(about || word)}\n`);
    return `    ${literal(path)} = [ordered]@{\n${lines.join('')}    }\n`;
  });
  return `Register-ArgumentCompleter -Native -CommandName ${literal(name)} -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $commands = [ordered]@{
${commands.join('')}  }
  $before = $commandAst.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -lt $cursorPosition }
  $typed = (@($before) -join ' ') + ' '
  foreach ($path in $commands.Keys) {
    if ($path -ne '' -and -not $typed.StartsWith($path + ' ')) { continue }
    foreach ($word in $commands[$path].GetEnumerator()) {
      if (-not $word.Key.StartsWith($wordToComplete)) { continue }
      [System.Management.Automation.CompletionResult]::new($word.Key, $word.Key, 'ParameterValue', $word.Value)
    }
    return
  }
}
`;
}

/** PowerShell takes typographic quotes for plain ones. */
const literal = (text: string): string => `'${text.replace(/['\u2018-\u201b]/g, '$&$&')}'`;

const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

/**
 * `npm run api-doc`: writes docs/api.md from the sources: what `activate` returns to other extensions (extension/api.ts), and
 * every request and notification between extension and engine (shared/protocol). A test compares the file with the sources.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const API_DOC = join(ROOT, 'docs', 'api.md');
const PROTOCOL = 'shared/protocol';

interface Source {
  path: string;
  file: ts.SourceFile;
}

const parsed = (path: string): Source => ({
  path,
  file: ts.createSourceFile(path, readFileSync(join(ROOT, path), 'utf8'), ts.ScriptTarget.ES2022, true),
});

export async function apiDoc(): Promise<string> {
  const api = parsed('extension/api.ts');
  const protocol = readdirSync(join(ROOT, PROTOCOL))
    .filter(name => name.endsWith('.ts') && name !== 'host.ts')
    .sort()
    .map(name => parsed(`${PROTOCOL}/${name}`));
  const engine = protocol.find(({ path }) => path.endsWith('/engine.ts'))!;
  const text = [
    '# API',
    'Made from the sources by `npm run api-doc`; do not edit.',
    '## For other extensions',
    "`extensions.getExtension('attention-inspector.attention-inspector').activate()` resolves to:",
    code(declarations(api.file).map(node => node.getFullText().trim())),
    '## Requests to the engine',
    describe(engine.file),
    ...methods(protocol).map(({ name, comment, parameters, result }) =>
      [`### \`${name}\``, comment, code([`type Parameters = ${parameters};`, `type Result = ${result};`])]
        .filter(Boolean)
        .join('\n\n'),
    ),
    '## What the engine says unasked',
    ...members(engine.file, 'EngineNotifications').map(({ name, comment, type }) =>
      [`### \`${name}\``, comment, code([`type Parameters = ${type};`])].filter(Boolean).join('\n\n'),
    ),
    '## Types',
    ...protocol.flatMap(({ path, file }) => [
      `### ${path}`,
      code(
        [...lists(file), ...declarations(file)]
          .filter(node => !('name' in node && /^(EngineRequests|EngineNotifications)$/.test(node.name.text)))
          .sort((a, b) => a.pos - b.pos)
          .map(node => node.getFullText().trim()),
      ),
    ]),
  ].join('\n\n');
  return format(text, { ...(await resolveConfig(API_DOC)), parser: 'markdown' });
}

const code = (lines: string[]): string => `\`\`\`ts\n${lines.join('\n\n')}\n\`\`\``;

/** The exported interfaces and types of a file, in their order. */
function declarations(file: ts.SourceFile): (ts.InterfaceDeclaration | ts.TypeAliasDeclaration)[] {
  return file.statements
    .filter(node => ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
    .filter(node => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword));
}

/** The exported lists of a file that its types are made of (`as const`). */
function lists(file: ts.SourceFile): ts.VariableStatement[] {
  return file.statements
    .filter(ts.isVariableStatement)
    .filter(({ declarationList: { declarations } }) =>
      declarations.some(({ initializer }) => initializer && ts.isAsExpression(initializer)),
    )
    .filter(node => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword));
}

interface Member {
  name: string;
  comment: string;
  type: string;
  node: ts.TypeNode;
}

function members(file: ts.SourceFile, name: string): Member[] {
  const found = declarations(file).find(node => node.name.text === name);
  if (!found || !ts.isInterfaceDeclaration(found)) return [];
  return found.members.filter(ts.isPropertySignature).map(member => ({
    name: (member.name as ts.StringLiteral | ts.Identifier).text,
    comment: commentOf(member),
    type: member.type!.getText(),
    node: member.type!,
  }));
}

/** The requests of every interface that `EngineRequests` is made of. */
function methods(protocol: readonly Source[]) {
  return protocol
    .flatMap(({ file }) =>
      declarations(file)
        .filter(({ name }) => /Requests$/.test(name.text))
        .flatMap(({ name }) => members(file, name.text)),
    )
    .map(({ name, comment, node }) => {
      const part = (key: string) =>
        ts.isTypeLiteralNode(node)
          ? node.members
              .filter(ts.isPropertySignature)
              .find(member => member.name.getText() === key)
              ?.type?.getText()
          : undefined;
      return { name, comment, parameters: part('params') ?? '?', result: part('result') ?? '?' };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function commentOf(node: ts.Node): string {
  return ts
    .getJSDocCommentsAndTags(node)
    .map(each => (typeof each.comment === 'string' ? each.comment : ''))
    .join(' ')
    .trim();
}

/** The comment at the head of a file. */
function describe(file: ts.SourceFile): string {
  const [first] = ts.getLeadingCommentRanges(file.text, 0) ?? [];
  if (!first) return '';
  return file.text
    .slice(first.pos, first.end)
    .replace(/^\/\*\*|\*\/$/g, '')
    .replace(/^ *\* ?/gm, '')
    .trim();
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  void apiDoc().then(text => writeFileSync(API_DOC, text));

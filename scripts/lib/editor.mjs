/** How `npm start` shows the extension: in the desktop's VS Code, in the server of the tests, or by saying what to do. */
import { onPath } from './project.mjs';

const ADVICE =
  'VS Code\'s command `code` is not on the PATH. Run "Shell Command: Install \'code\' command in PATH" from its command palette (on Windows: install VS Code with "Add to PATH") and start again, or run "npm run package" and install the .vsix in VS Code.';

/**
 * @param {{ platform?: string, arch?: string, path?: string }} machine
 * @returns {{ desktop: string } | { server: true } | { advice: string }} the server of the tests runs on Linux x64 only
 */
export function editorOf({ platform = process.platform, arch = process.arch, path } = {}) {
  const desktop = onPath(['code'], { platform, path });
  if (desktop) return { desktop };
  return platform === 'linux' && arch === 'x64' ? { server: true } : { advice: ADVICE };
}

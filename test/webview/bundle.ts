import { build } from 'esbuild';

/** The webview as the extension ships it, in memory. */
export async function bundleWebview(): Promise<{ script: string; style: string }> {
  const { outputFiles } = await build({
    entryPoints: { webview: 'webview/main.ts' },
    bundle: true,
    write: false,
    outdir: 'out',
    format: 'iife',
    target: 'chrome120',
  });
  const text = (end: string) => outputFiles.find(f => f.path.endsWith(end))?.text ?? '';
  return { script: text('.js'), style: text('.css') };
}

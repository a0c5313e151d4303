/** What VS Code's own settings say of the network (`http.proxy`, `http.noProxy`, `http.proxySupport`). */
export interface NetworkSettings {
  get<T>(name: string): T | undefined;
}

/**
 * The environment by which the engine's downloads use the editor's proxy. What the environment says already goes first, as
 * in VS Code itself.
 */
export function networkEnvironment(
  env: NodeJS.ProcessEnv,
  settings: NetworkSettings,
): Record<string, string> {
  const proxy = settings.get<string>('proxy')?.trim();
  const isSet = (name: string) => Boolean(env[name] || env[name.toLowerCase()]);
  if (!proxy || settings.get('proxySupport') === 'off' || isSet('HTTPS_PROXY') || isSet('HTTP_PROXY'))
    return {};
  const noProxy = settings.get<string[]>('noProxy') ?? [];
  return {
    HTTPS_PROXY: proxy,
    HTTP_PROXY: proxy,
    ...(noProxy.length && !isSet('NO_PROXY') ? { NO_PROXY: noProxy.join(',') } : {}),
  };
}

/** As `vscode.l10n.t` takes and gives messages. */
export type Translate = (message: string, ...values: (string | number)[]) => string;

/** The message as it is, for what speaks English only: command line, logs. */
export const english: Translate = (message, ...values) =>
  message.replace(/\{(\d+)\}/g, (hole, at: string) => String(values[Number(at)] ?? hole));

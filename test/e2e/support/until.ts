/** Waits until it is true; the value is handed on. */
export async function until<T>(found: () => T | Promise<T>): Promise<NonNullable<T>> {
  const end = Date.now() + 10_000;
  for (;;) {
    const value = await found();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never true: ${String(found)}`);
    await new Promise(resolve => setTimeout(resolve, 40));
  }
}

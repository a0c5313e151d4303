/** Steps of colour in each direction that the editor's marks of a loss change have. */
export const CHANGE_STEPS = 5;

/** The step of a change, 1..CHANGE_STEPS, linear up to the limit; 0 for too little to be seen. */
export function changeStep(change: number, limit: number): number {
  return Math.min(CHANGE_STEPS, Math.round((Math.abs(change) / limit) * CHANGE_STEPS));
}

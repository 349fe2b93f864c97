/** The machine is not set up as the service needs; the message says in plain words what to do about it. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** Tells the person at the terminal one step, as a sentence. */
export type Say = (sentence: string) => void;

/** Writes to standard error, so that a command's standard output stays clean. */
export const sayOnStderr: Say = (sentence) => {
  process.stderr.write(`${sentence}\n`);
};

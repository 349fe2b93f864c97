import { spawn } from 'node:child_process';

/** Tells the person at the terminal one step; standard output stays free for a command's own answer.
 * @param {string} sentence */
export function say(sentence) {
  process.stderr.write(`${sentence}\n`);
}

/** Ends the process with a sentence that says what to do.
 * @param {string} sentence
 * @returns {never} */
export function giveUp(sentence) {
  say(sentence);
  process.exit(1);
}

/** Runs a program with its output on standard error and answers its exit code; it is stopped together with this process.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, onStart?: (pid: number) => void }} options
 * @returns {Promise<number>} */
export function run(command, args, { cwd, onStart }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 2, 2] });
    if (child.pid !== undefined) onStart?.(child.pid);
    /** @param {NodeJS.Signals} signal */
    const stop = (signal) => {
      child.kill(signal);
      process.exit(signal === 'SIGINT' ? 130 : 143);
    };
    process.once('SIGINT', stop).once('SIGTERM', stop).once('SIGHUP', stop);
    /** @param {number} code */
    const settle = (code) => {
      process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
      resolve(code);
    };
    child.once('error', (error) => {
      say(`${command}: ${error.message}`);
      settle(127);
    });
    child.once('exit', (code) => settle(code ?? 1));
  });
}

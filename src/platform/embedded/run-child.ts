import { spawn } from 'node:child_process';

export interface ChildResult {
  /** null when the program could not be started, was killed, or ran into the time limit. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end and returns what it wrote; never throws, never lasts longer than `timeoutMs`. */
export function runChild(command: string, args: string[], timeoutMs: number, echo = false): Promise<ChildResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    const killWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', killWithUs);
    // Not spawn's own time limit: that one keeps this process alive when the program does not exist.
    const limit = setTimeout(killWithUs, timeoutMs);
    const settle = (code: number | null): void => {
      clearTimeout(limit);
      process.removeListener('exit', killWithUs);
      resolve({ code, stdout, stderr });
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (echo) process.stderr.write(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (echo) process.stderr.write(text);
    });
    child.once('error', (error) => {
      stderr += error.message;
      settle(null);
    });
    child.once('close', settle);
  });
}

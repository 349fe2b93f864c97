/**
 * Loaded before the service in a process that a test starts: the process does not outlive the test, however that ends,
 * and fails on command where no caller catches it.
 */
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', ({ fail, message }: { fail: 'reject' | 'throw'; message: string }) => {
  if (fail === 'reject') void Promise.reject(new Error(message));
  else {
    setImmediate(() => {
      throw new Error(message);
    });
  }
});
process.channel?.unref();

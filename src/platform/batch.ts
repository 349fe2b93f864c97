/**
 * Gathers the calls of one moment into one command: whatever asks while an earlier command is on its way goes with the
 * next. No timer, so a lone call waits for nobody.
 */
export function gathered<A, B>(maxBatch: number, run: (items: A[]) => Promise<B[]>): (item: A) => Promise<B> {
  interface Waiting {
    item: A;
    resolve: (value: B) => void;
    reject: (error: unknown) => void;
  }
  const queue: Waiting[] = [];
  let busy = false;

  const pump = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.splice(0, maxBatch);
      try {
        const answers = await run(batch.map((w) => w.item));
        batch.forEach((w, i) => w.resolve(answers[i] as B));
      } catch (error) {
        for (const w of batch) w.reject(error);
      }
    }
    busy = false;
  };

  return (item) =>
    new Promise<B>((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (busy) return;
      busy = true;
      setImmediate(() => void pump());
    });
}

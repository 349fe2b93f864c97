/**
 * A map of at most `max` entries: when it is full, those that came first go. A sixteenth at once, for a map passes all
 * that it has lost on its way to its first entry.
 */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #max: number;

  constructor(max: number) {
    super();
    this.#max = max;
  }

  override set(key: K, value: V): this {
    if (this.size >= this.#max && !this.has(key)) this.#forgetFirst(Math.ceil(this.#max / 16));
    return super.set(key, value);
  }

  #forgetFirst(count: number): void {
    let left = count;
    for (const key of this.keys()) {
      if (left === 0) return;
      this.delete(key);
      left -= 1;
    }
  }
}

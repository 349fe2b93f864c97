/** Which banks and branches there are. */
export interface IfscTable {
  /** What is known of a compact IFSC: its bank by the first four letters, its branch by the last six characters. */
  look(ifsc: string): { bank: boolean; branch: boolean };
}

/** Reads lines of `bank|name|branches`, where runs of numbers are `from-to`; `#` begins a comment. */
export function buildIfscTable(text: string): IfscTable {
  const branches = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [bank = '', , list = ''] = line.split('|');
    branches.set(bank, list);
  }
  return {
    look(ifsc) {
      const list = branches.get(ifsc.slice(0, 4));
      return { bank: list !== undefined, branch: list !== undefined && holdsBranch(list, ifsc.slice(5)) };
    },
  };
}

/** The lists stay text until they are asked: as sets they would hold 15 MB for one look-up a day. */
function holdsBranch(list: string, branch: string): boolean {
  const number = /^\d+$/.test(branch) ? Number(branch) : undefined;
  return list.split(',').some((entry) => {
    if (number === undefined) return entry === branch;
    const run = /^(\d+)(?:-(\d+))?$/.exec(entry);
    return run !== null && Number(run[1]) <= number && number <= Number(run[2] ?? run[1]);
  });
}

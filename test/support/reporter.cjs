const { reporters, Runner } = require('mocha');

/** The usual list of tests; the count goes to the parent process, or is printed when there is none. */
module.exports = class Reporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes: passed, failures: failed } = runner.stats;
      if (process.send) process.send({ passed, failed });
      else process.stdout.write(`${passed} passed, ${failed} failed\n`);
    });
  }
};

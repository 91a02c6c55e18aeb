// A reporter for vitest: a line of JSON for each test, as soon as it has run. So bench/gpu-check.mjs can count the tests
// of a run that its time limit ends, too.

export default class TestLines {
  /** @param {import('vitest/node').TestCase} test */
  onTestCaseResult(test) {
    const { state, errors } = test.result();
    if (state === 'skipped') return;
    console.log(
      JSON.stringify({
        test: test.fullName,
        file: test.module.relativeModuleId,
        passed: state === 'passed',
        ms: test.diagnostic()?.duration,
        error: errors?.[0]?.message.slice(0, 500),
      }),
    );
  }
}

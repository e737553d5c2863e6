// The thresholds as JUnit XML for build servers: one test case per threshold, one test suite per scenario.
const escape = (text) =>
  String(text)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');

function testcase(threshold) {
  const { scenario, metric, expected, measured, verdict } = threshold;
  const head = `    <testcase classname="loadtest.${escape(scenario)}" name="${escape(metric)} ${escape(expected)}" time="0"`;
  if (verdict === 'held') return `${head}/>`;
  if (verdict === 'not reached') return `${head}><skipped message="the run ended before this step"/></testcase>`;
  const message = `expected ${expected}, measured ${measured}`;
  return `${head}><failure type="threshold" message="${escape(message)}">${escape(`${metric}: ${message}`)}</failure></testcase>`;
}

const count = (thresholds, verdict) => thresholds.filter((threshold) => threshold.verdict === verdict).length;

function suite(scenario, thresholds) {
  return [
    `  <testsuite name="${escape(scenario.name)}" tests="${thresholds.length}" failures="${count(thresholds, 'crossed')}" skipped="${count(thresholds, 'not reached')}" errors="0" time="${scenario.seconds}">`,
    ...thresholds.map(testcase),
    '  </testsuite>',
  ].join('\n');
}

export function junit(summary) {
  const { thresholds, scenarios } = summary;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="loadtest ${escape(summary.profile)}" tests="${thresholds.length}" failures="${count(thresholds, 'crossed')}" time="${summary.seconds}">`,
    ...scenarios.map((scenario) => suite(scenario, thresholds.filter((threshold) => threshold.scenario === scenario.name))),
    '</testsuites>',
    '',
  ].join('\n');
}

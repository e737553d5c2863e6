// One test case for each threshold, as build servers read it.
const escape = (text) =>
  String(text)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');

function testcase(one) {
  const head = `    <testcase classname="loadtest.${escape(one.scenario)}" name="${escape(one.metric)} ${escape(one.expected)}" time="0"`;
  if (one.verdict === 'held') return `${head}/>`;
  if (one.verdict === 'not reached') return `${head}><skipped message="the run ended before this step"/></testcase>`;
  const message = `expected ${one.expected}, measured ${one.measured}`;
  return `${head}><failure type="threshold" message="${escape(message)}">${escape(`${one.metric}: ${message}`)}</failure></testcase>`;
}

const count = (all, verdict) => all.filter((one) => one.verdict === verdict).length;

function suite(scenario, all) {
  return [
    `  <testsuite name="${escape(scenario.name)}" tests="${all.length}" failures="${count(all, 'crossed')}" skipped="${count(all, 'not reached')}" errors="0" time="${scenario.seconds}">`,
    ...all.map(testcase),
    '  </testsuite>',
  ].join('\n');
}

export function junit(summary) {
  const { thresholds, scenarios } = summary;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="loadtest ${escape(summary.profile)}" tests="${thresholds.length}" failures="${count(thresholds, 'crossed')}" time="${summary.seconds}">`,
    ...scenarios.map((scenario) => suite(scenario, thresholds.filter((one) => one.scenario === scenario.name))),
    '</testsuites>',
    '',
  ].join('\n');
}

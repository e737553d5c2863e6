// What run.sh looks for in k6's log to say why a run could not be had. The sentence may hold no quotes and no secret.
const MARK = 'loadtest:';

export function fail(sentence) {
  throw new Error(`${MARK} ${sentence}`);
}

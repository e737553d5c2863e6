// run.sh searches k6's log for this marker to report why a run failed. The message must not contain quotes or secrets.
const MARK = 'loadtest:';

export function fail(message) {
  throw new Error(`${MARK} ${message}`);
}

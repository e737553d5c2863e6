use super::*;

/// The first hour of a month.
const NOW: i64 = 1_796_083_200;

const HOUR: i64 = 3600;

const QUOTAS: Quotas = Quotas {
    hour: Some(2),
    day: None,
    month: Some(3),
};

fn counters() -> Counters {
    let counters = Counters::default();
    counters.set_loaded();
    counters.apply_stored(&[], Instant::now());
    counters
}

/// Issues a token; the use of the hour, or `None` if a quota is used up.
fn issue(counters: &Counters, now: i64) -> Option<u64> {
    let (token, _) = counters.reserve("ci", &QUOTAS, true, now).ok()?;
    let used = token.usage[0].used;
    token.keep();
    Some(used)
}

#[test]
fn windows_of_a_clock_that_was_ahead_do_not_go_on() {
    let counters = counters();
    // A month ahead: its quota is used up there.
    let ahead = NOW + 31 * 24 * HOUR;
    assert_eq!([issue(&counters, ahead), issue(&counters, ahead)], [Some(1), Some(2)]);
    assert_eq!(issue(&counters, ahead), None);
    assert_eq!(issue(&counters, NOW), Some(1));
    let hour = counters.usage("ci", NOW)[0];
    assert_eq!((hour.began_at, hour.ends_at), (NOW, NOW + HOUR));
    // The store replaces the row of the window ahead; until then it is ignored.
    counters.apply_stored(
        &[Usage {
            client_id: "ci".to_owned(),
            window: Window::Hour,
            start: ahead,
            used: 2,
        }],
        Instant::now(),
    );
    assert_eq!(issue(&counters, NOW), Some(1));
}

#[test]
fn windows_go_on_where_the_clock_was_set_back_a_little() {
    let counters = counters();
    assert_eq!([issue(&counters, NOW), issue(&counters, NOW)], [Some(1), Some(2)]);
    assert_eq!(issue(&counters, NOW - SET_BACK), None, "the window that has just begun");
    assert_eq!(issue(&counters, NOW - SET_BACK - 1), Some(1));
}

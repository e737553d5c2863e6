//! RFC 3339 timestamps.

/// Formats Unix seconds between 1970 and 2099 as `YYYY-MM-DDTHH:MM:SSZ`.
pub fn rfc3339(unix_seconds: u64) -> [u8; 20] {
    let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days since 1 March 1968, so that the leap day is the last day of each four-year cycle. 2100 is not a leap year.
    let days = days + 671;
    let era_day = days % 1461;
    let year_in_era = (era_day.saturating_sub(u64::from(era_day == 1460))) / 365;
    let day_of_year = era_day - year_in_era * 365;
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = 1968 + days / 1461 * 4 + year_in_era + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00Z";
    put_two_digits(&mut text[0..2], year / 100);
    put_two_digits(&mut text[2..4], year % 100);
    put_two_digits(&mut text[5..7], month);
    put_two_digits(&mut text[8..10], day);
    put_two_digits(&mut text[11..13], rest / 3600);
    put_two_digits(&mut text[14..16], rest / 60 % 60);
    put_two_digits(&mut text[17..19], rest % 60);
    text
}

fn put_two_digits(digits: &mut [u8], value: u64) {
    digits[0] = b'0' + (value / 10) as u8;
    digits[1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn formats_known_timestamps() {
        let cases: [(u64, &[u8]); 6] = [
            (0, b"1970-01-01T00:00:00Z"),
            (951_782_399, b"2000-02-28T23:59:59Z"),
            (951_782_400, b"2000-02-29T00:00:00Z"),
            (1_078_099_200, b"2004-03-01T00:00:00Z"),
            (1_798_761_599, b"2026-12-31T23:59:59Z"),
            (1_800_000_000, b"2027-01-15T08:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(seconds), text, "{seconds}");
        }
    }
}

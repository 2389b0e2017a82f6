//! Dates in RFC 3339 format, as the API writes them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;
use core::time::Duration;

/// Formats a time since 1970 in UTC in RFC 3339 format: `2014-01-01T05:20:00.12345Z`. As in the API's published
/// responses, the fraction has at most six digits and no trailing zeros.
#[must_use]
pub fn rfc_3339(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);

    // With years that start in March, a leap day is the last day of its year. 400 years have 146,097 days, and 719,468
    // days lie between 1 March of the year 0 and 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months starting in March have 153 days, and so have five starting in August.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + carry;

    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let micros = since_1970.subsec_micros();
    if micros > 0 {
        // Writing to a string cannot fail.
        _ = write!(text, ".{micros:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_parses_dates() {
        let rows = [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 999, "2000-02-29T00:00:00Z"),
            (951_868_800, 100_000_000, "2000-03-01T00:00:00.1Z"),
            (1_388_553_600, 123_450_000, "2014-01-01T05:20:00.12345Z"),
            (1_709_164_800, 1_000, "2024-02-29T00:00:00.000001Z"),
            (1_767_225_600, 0, "2026-01-01T00:00:00Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, nanos, text) in rows {
            assert_eq!(rfc_3339(Duration::new(seconds, nanos)), text);
        }
    }
}

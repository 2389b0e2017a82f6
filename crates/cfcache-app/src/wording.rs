//! Formats numbers, durations and nouns.

use core::time::Duration;

use cfcache_model::Kind;

/// Formats a duration: "41 ms", "1.50 s", "12 s", "3 min 20 s".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis().max(1)),
        1..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Formats a duration in whole seconds, for progress lines: "7 s", "3 min 20 s".
pub fn whole(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..10 => format!("{seconds} s"),
        _ => self::duration(duration),
    }
}

/// Formats a rate: "0.4", "12", "3000".
pub fn rate(rate: f64) -> String {
    match rate {
        0.05..9.95 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// The plural of a kind: "URLs", "tags".
pub fn plural(kind: Kind) -> String {
    kind.count(0).split_off(2)
}

/// Formats a number with its noun: "1 request", "3 requests".
pub fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// Capitalizes a word: "Purge" for "purge".
pub fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

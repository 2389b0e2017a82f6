//! For people.

use core::time::Duration;

use cfcache_model::Kind;
use cfcache_model::text::clip;

/// "41 ms", "1.50 s", "12 s", "3 min 20 s".
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis().max(1)),
        1..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// "7 s", "3 min 20 s": for what changes while it is read.
pub(crate) fn whole(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..10 => format!("{seconds} s"),
        _ => self::duration(duration),
    }
}

/// "0.4", "12", "3000".
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        0.05..9.95 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// "URLs", "tags".
pub(crate) fn plural(kind: Kind) -> String {
    kind.count(0).split_off(2)
}

/// "1 request", "3 requests".
pub(crate) fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// "Purge" of "purge".
pub(crate) fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Rows with aligned columns, two blanks between them, none at the end of a line.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    // Names are other people's text: no escape of theirs gets to the terminal.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clip(cell, 256)).collect()).collect();
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let all = || core::iter::once(&header).chain(&rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| all().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    all()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, total)| {
                let padding = " ".repeat(total.saturating_sub(width(cell)));
                format!("{cell}{padding}")
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

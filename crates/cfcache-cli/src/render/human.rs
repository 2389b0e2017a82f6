//! For people.

use core::time::Duration;

use cfcache_model::Kind;
use cfcache_model::text::clip;
use unicode_width::UnicodeWidthStr as _;

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

/// How many columns of a terminal a text takes: an ideograph two, a combining mark none.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a text that fits into so many columns.
pub(crate) fn cut(text: &str, columns: usize) -> &str {
    let ends = text.char_indices().map(|(start, char)| start + char.len_utf8());
    // The whole is measured each time: an emoji may be several characters, and no wider than its first.
    let end = ends.take_while(|end| width(&text[..*end]) <= columns).last();
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_what_a_terminal_shows() {
        for (text, columns) in [
            ("", 0),
            ("example.com", 11),
            ("bücher.example", 14),
            // The same, with the dots as a mark of their own.
            ("bu\u{308}cher.example", 14),
            ("例え.jp", 7),
            ("한국", 4),
            ("…", 1),
            ("🚀", 2),
            ("👩\u{200d}🚀", 2),
            ("🇩🇪", 2),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let row = |name: &str| vec![name.to_owned(), "x".to_owned()];
        let rows = [row("例え.jp"), row("bu\u{308}cher.example"), row("🚀.example"), row("a")];
        let lines = table(&["NAME", "Z"], &rows);
        let columns: Vec<usize> = lines.iter().map(|line| width(line.trim_end_matches(['x', 'Z']))).collect();
        assert_eq!(columns, [16; 5], "{lines:?}");
    }

    #[test]
    fn what_is_cut_fits_and_is_cut_no_shorter_than_that() {
        for (text, columns, expected) in [
            ("12 of 34", 20, "12 of 34"),
            ("12 of 34", 5, "12 of"),
            ("12 of 34", 0, ""),
            ("例え.jp", 4, "例え"),
            ("例え.jp", 3, "例"),
            ("u\u{308}ber", 1, "u\u{308}"),
            ("👩\u{200d}🚀 up", 2, "👩\u{200d}🚀"),
            ("👩\u{200d}🚀 up", 1, ""),
        ] {
            assert_eq!(cut(text, columns), expected, "{text} {columns}");
        }
    }
}

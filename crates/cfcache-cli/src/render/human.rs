//! Formatting for people.

use std::borrow::Cow;

pub(crate) use cfcache_app::wording::{count, duration, plural, rate, whole};
use cfcache_model::text::clip;
use unicode_width::UnicodeWidthStr as _;

/// Formats rows with aligned columns, separated by two blanks, without trailing blanks.
///
/// On a terminal that is too narrow for that, each row is written on several lines, because a wrapped table is
/// unreadable.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let columns = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    // Names are foreign text: their escape sequences must not reach the terminal.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clip(cell, 256)).collect()).collect();
    let aligned = aligned(header, &rows);
    if columns.is_some_and(|columns| aligned.iter().any(|line| width(line) > columns)) {
        stacked(header, &rows)
    } else {
        aligned
    }
}

fn aligned(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let all = || core::iter::once(&header).chain(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| all().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    all()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, total)| padded(cell, *total));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Writes one line for each cell that is not empty, and a blank line between rows.
fn stacked(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let total = header.iter().map(|title| width(title)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        lines.extend(cells.map(|(title, cell)| format!("{}  {cell}", padded(title, total))));
    }
    lines
}

fn padded(text: &str, total: usize) -> String {
    format!("{text}{}", " ".repeat(total.saturating_sub(width(text))))
}

/// Breaks lines between words so that they fit into `columns`. Continuation lines are aligned with the text after the
/// label ("hint:"), or indented a little. Text between backticks (which may be copied) or in parentheses is kept
/// together if it fits into a line.
pub(crate) fn wrap(text: &str, columns: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| wrap_line(line, columns)).collect();
    lines.join("\n")
}

fn wrap_line(line: &str, columns: usize) -> String {
    // Below 20 columns, breaking lines is not worth it.
    if width(line) <= columns || columns < 20 {
        return line.to_owned();
    }
    let text = line.trim_start_matches(' ');
    let before = line.len() - text.len();
    let first = text.split(' ').next().unwrap_or_default();
    let label = width(first) + 1;
    let is_label = before == 0 && first.ends_with(':');
    // Reduces the indent if the longest word, such as an id, would not fit otherwise.
    let widest = text.split(' ').map(width).max().unwrap_or(0);
    let margin = if is_label && label + widest <= columns { label } else { before + 2 };
    // The text may be foreign and consist only of blanks.
    let margin = margin.min(columns / 2);
    let mut wrapped = " ".repeat(before);
    let mut at = before;
    let room = columns - margin;
    let words = words(text)
        .into_iter()
        .flat_map(|word| if width(word) > room { word.split(' ').collect() } else { vec![word] });
    for (index, word) in words.enumerate() {
        let word_width = width(word);
        if index > 0 && at + 1 + word_width > columns {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(margin));
            at = margin;
        } else if index > 0 {
            wrapped.push(' ');
            at += 1;
        }
        wrapped.push_str(word);
        at += word_width;
    }
    wrapped
}

/// The words of a line; text between backticks or in parentheses is one word.
fn words(line: &str) -> Vec<&str> {
    let (mut words, mut start, mut is_quoted, mut depth) = (Vec::new(), 0, false, 0_u32);
    for (at, char) in line.char_indices() {
        match char {
            '`' => is_quoted = !is_quoted,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if !is_quoted && depth == 0 => {
                words.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&line[start..]);
    words
}

/// The number of terminal columns of a text: an ideograph takes two, a combining mark none.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The parts of a line, separated by commas, that fit into `columns`; at least the beginning of the first part.
pub(crate) fn fit(line: &str, columns: usize) -> &str {
    let fitting = cut(line, columns);
    let is_cut = fitting.len() < line.len() && !line[fitting.len()..].starts_with(", ");
    match fitting.rfind(", ") {
        Some(end) if is_cut => &fitting[..end],
        _ => fitting,
    }
}

/// A text, truncated with a mark if it does not fit into `columns`.
pub(crate) fn ellipsis(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        text.into()
    } else {
        format!("{}…", cut(text, columns.saturating_sub(1)).trim_end()).into()
    }
}

/// The beginning of a text that fits into `columns`.
fn cut(text: &str, columns: usize) -> &str {
    let ends = text.char_indices().map(|(start, char)| start + char.len_utf8());
    // The whole text is measured each time: an emoji may consist of several characters and be as wide as one.
    let end = ends.take_while(|end| width(&text[..*end]) <= columns).last();
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_counts_terminal_columns() {
        for (text, columns) in [
            ("", 0),
            ("example.com", 11),
            ("bücher.example", 14),
            // The same name, with combining dots.
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
    fn table_columns_are_aligned_with_wide_and_combining_characters() {
        let row = |name: &str| vec![name.to_owned(), "x".to_owned()];
        let rows = [row("例え.jp"), row("bu\u{308}cher.example"), row("🚀.example"), row("a")];
        let lines = aligned(&["NAME", "Z"], &rows);
        let columns: Vec<usize> = lines.iter().map(|line| width(line.trim_end_matches(['x', 'Z']))).collect();
        assert_eq!(columns, [16; 5], "{lines:?}");
    }

    #[test]
    fn truncated_text_is_as_long_as_fits() {
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

    #[test]
    fn narrow_tables_use_several_lines_per_row() {
        let rows = [vec!["a".to_owned(), "1".to_owned(), String::new()], vec!["b".to_owned()]];
        let lines = stacked(&["NAME", "ID", "STATUS"], &rows);
        assert_eq!(lines, ["NAME    a", "ID      1", "", "NAME    b"]);
    }

    #[test]
    fn wrap_breaks_between_words_but_not_in_backticks_or_parentheses() {
        let wrapped = |text: &str| wrap(text, 30);
        assert_eq!(wrapped("hint: it fits"), "hint: it fits");
        assert_eq!(
            wrapped("hint: check the token with `cfcache token verify` first"),
            "hint: check the token with\n      `cfcache token verify`\n      first"
        );
        assert_eq!(wrapped("error: nothing was sent to anyone"), "error: nothing was sent to\n       anyone");
        assert_eq!(
            wrapped("  the API answered with status 400: no"),
            "  the API answered with status\n    400: no"
        );
        assert_eq!(
            wrapped("Clear it?\nIt cannot be undone or cancelled"),
            "Clear it?\nIt cannot be undone or\n  cancelled"
        );
        assert_eq!(
            wrapped("accepted: purge 1 URL (3 requests, 3 ms)"),
            "accepted: purge 1 URL\n          (3 requests, 3 ms)"
        );
        assert_eq!(
            wrapped("accepted: 1 URL on 023e105f4ecef8ad9ca31a83"),
            "accepted: 1 URL on\n  023e105f4ecef8ad9ca31a83"
        );
        let blanks = " ".repeat(100);
        assert_eq!(wrapped(&format!("{blanks}a b")).split_whitespace().count(), 2);
        // An unpaired backtick or a long text in parentheses does not prevent breaking.
        assert_eq!(
            wrapped("error: a ` is in it and no other one"),
            "error: a ` is in it and no\n       other one"
        );
        // Text without blanks, and terminals that are too narrow, are left to the terminal.
        let long = "x".repeat(50);
        assert_eq!(wrapped(&long), long);
        assert_eq!(wrap("a line of words that are short", 10), "a line of words that are short");
        for columns in 20..100 {
            let text =
                "error: 例え.jp is a name of three characters, the first two of which are wide; `a b` is not";
            let lines = wrap(text, columns);
            assert!(lines.lines().all(|line| width(line) <= columns), "{columns}: {lines}");
            assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
        }
    }

    #[test]
    fn truncated_text_ends_with_an_ellipsis() {
        assert_eq!(ellipsis("refused", 7), "refused");
        assert_eq!(ellipsis("refused it", 8), "refused…");
        assert_eq!(ellipsis("refused it", 9), "refused…");
        assert_eq!(ellipsis("例え.jp", 4), "例…");
    }

    #[test]
    fn fit_keeps_the_leading_parts_that_fit() {
        let line = "3 of 8 URLs accepted, 2 failed, 7/s";
        assert_eq!(fit(line, 80), line);
        assert_eq!(fit(line, 34), "3 of 8 URLs accepted, 2 failed");
        assert_eq!(fit(line, 30), "3 of 8 URLs accepted, 2 failed");
        assert_eq!(fit(line, 29), "3 of 8 URLs accepted");
        assert_eq!(fit(line, 10), "3 of 8 URL");
    }
}

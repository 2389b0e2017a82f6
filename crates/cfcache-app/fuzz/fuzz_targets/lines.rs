//! Whatever bytes a list holds, and however they come, its entries are what stands between its ends of lines, or between
//! NULs.
#![no_main]

use std::io::BufReader;

use cfcache_app::source::lines::{Delimiter, Line, Lines};
use cfcache_model::target::{Kind, Target};
use cfcache_model::text::is_invisible;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|list: &[u8]| {
    // What ends a line is replaced here by one byte, before the list is taken apart.
    let mut unified = Vec::new();
    let mut bytes = list.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
        }
        unified.push(if byte == b'\r' { b'\n' } else { byte });
    }
    check(list, &unified, Delimiter::LineBreak);
    check(list, list, Delimiter::Null);
});

fn check(list: &[u8], unified: &[u8], delimiter: Delimiter) {
    let end = if delimiter == Delimiter::Null { b'\0' } else { b'\n' };
    for capacity in [1, 7] {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, list), delimiter);
        for expected in unified.split_inclusive(|byte| *byte == end) {
            let expected = expected.strip_suffix(&[end]).unwrap_or(expected);
            let text = std::str::from_utf8(expected).map(|text| match delimiter {
                Delimiter::Null => text,
                Delimiter::LineBreak => text.trim(),
            });
            match lines.next_line() {
                Line::Entry(found) => {
                    assert_eq!(Ok(&*found), text);
                    for kind in Kind::ALL {
                        if let Err(invalid) = Target::parse_shared(*kind, &found) {
                            assert!(!invalid.to_string().chars().any(is_invisible));
                            assert!(!invalid.cure().unwrap_or_default().chars().any(is_invisible));
                        }
                    }
                }
                Line::Nothing => match text {
                    Ok("") => {}
                    Ok(text) => assert!(delimiter == Delimiter::LineBreak && text.starts_with('#')),
                    Err(_) => assert!(expected.trim_ascii_start().starts_with(b"#")),
                },
                Line::Invalid { given, reason } => {
                    assert!(text.is_err());
                    assert_eq!(given, String::from_utf8_lossy(expected));
                    assert!(!reason.chars().any(is_invisible));
                }
                Line::Failed(error) => panic!("{error}"),
                Line::End => panic!("{expected:?} is missing"),
            }
            lines.has_more_at_hand();
        }
        assert!(matches!(lines.next_line(), Line::End));
    }
}

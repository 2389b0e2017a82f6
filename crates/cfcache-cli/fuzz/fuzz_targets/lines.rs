//! Whatever bytes a list holds, and however they come, its entries are its lines byte for byte.
#![no_main]

#[path = "../../src/source/lines.rs"]
mod lines;

use std::io::BufReader;

use cfcache_model::target::{Kind, Target};
use cfcache_model::text::is_invisible;
use libfuzzer_sys::fuzz_target;

use lines::{Line, Lines};

fuzz_target!(|list: &[u8]| {
    let mut lines = Lines::new(BufReader::with_capacity(7, list));
    let without_mark = list.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(list);
    for expected in without_mark.split_inclusive(|byte| *byte == b'\n') {
        let expected = expected.strip_suffix(b"\n").unwrap_or(expected);
        let expected = expected.strip_suffix(b"\r").unwrap_or(expected);
        match lines.next() {
            Line::Entry(text) => {
                assert_eq!(text.as_bytes(), expected);
                for kind in Kind::ALL {
                    if let Err(invalid) = Target::parse(*kind, text) {
                        assert!(!invalid.to_string().chars().any(is_invisible));
                    }
                }
            }
            Line::Nothing => assert!(expected.trim_ascii().is_empty() || expected.starts_with(b"#")),
            Line::Invalid { given, reason } => {
                assert!(std::str::from_utf8(expected).is_err());
                assert_eq!(given, String::from_utf8_lossy(expected));
                assert!(!reason.chars().any(is_invisible));
            }
            Line::Failed(error) => panic!("{error}"),
            Line::End => panic!("{expected:?} is missing"),
        }
    }
    // A mark and nothing else is a blank line.
    if without_mark.is_empty() && !list.is_empty() {
        assert!(matches!(lines.next(), Line::Nothing));
    }
    assert!(!lines.has_more_at_hand());
    assert!(matches!(lines.next(), Line::End));
});

//! Whatever stands in a configuration file, it is read, or refused in one line that shows no value.
#![no_main]

use std::path::Path;

use cfcache_app::config::file::{self, ProjectFile, UserFile};
use cfcache_model::text::is_invisible;
use libfuzzer_sys::fuzz_target;

/// A value that no message may show, and that no seed holds.
const SECRET: &str = "tell-nobody";

const KEYS: &[&str] = &[
    "profile",
    "zone",
    "environment",
    "plan",
    "base-url",
    "token-file",
    "token-env",
    "token-command",
    "token",
    "zones",
    "profiles",
    "forbid-everything",
    "other",
];

fn check(text: &str) {
    let path = Path::new("config.toml");
    let refused = [
        file::parse::<UserFile>(path, text).map(|file| drop(file.common().token("the file"))).err(),
        file::parse::<ProjectFile>(path, text).map(drop).err(),
    ];
    for failure in refused.into_iter().flatten() {
        assert!(!failure.message.contains(SECRET), "{}", failure.message);
        assert!(!failure.message.chars().any(is_invisible), "{:?}", failure.message);
    }
}

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    check(text);
    // Behind whatever it is, a value: in quotes, without them, where the first was forgotten, and of the wrong type.
    let key = KEYS[text.len() % KEYS.len()];
    let value = match text.len() / KEYS.len() % 4 {
        0 => format!("\"{SECRET}\""),
        1 => SECRET.to_owned(),
        2 => format!("{SECRET}\""),
        _ => format!("[\"\\n\\\"{SECRET}\\\"\", 1]"),
    };
    check(&format!("{text}\n{key} = {value}\n"));
});

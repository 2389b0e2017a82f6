//! Behavior on a terminal: confirmation, progress, color, tables. The tests use a real pseudo-terminal, with 80 columns
//! by default.

#![cfg(target_os = "linux")]

use core::time::Duration;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Api, Cmd, Dir, Started, ZONE, bare, cfcache, urls, wait_until};
use crate::visitors;

/// Both ends of a terminal: one for the person, and one for the process.
struct Terminal {
    person: File,
    path: std::path::PathBuf,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn new() -> Self {
        Self::with_columns(80)
    }

    fn with_columns(columns: u16) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        resize(&person, columns);
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap().into();
        let person = File::from(person);
        let seen = Arc::new(Mutex::new(String::new()));
        let mut reader = person.try_clone().unwrap();
        let seen_too = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // After the last process has closed it, reading fails.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                seen_too.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { person, path, seen }
    }

    fn resize(&self, columns: u16) {
        resize(&self.person, columns);
    }

    fn end(&self) -> Stdio {
        Stdio::from(File::options().read(true).write(true).open(&self.path).unwrap())
    }

    fn start(&self, cmd: Cmd) -> Started {
        cmd.stdin(self.end()).stderr(self.end()).start_as_it_is()
    }

    /// Runs a command with its standard output on the terminal, and returns everything that was shown.
    fn shows(&self, cmd: Cmd, code: i32) -> String {
        // The end marker: the process has ended, so nothing follows it.
        let mut end = File::options().write(true).open(&self.path).unwrap();
        cmd.stdin(self.end()).stdout(self.end()).stderr(self.end()).start_as_it_is().ends(code);
        end.write_all(b"<end>").unwrap();
        self.sees("<end>");
        let seen = self.seen().replace("\r\n", "\n");
        seen.strip_suffix("<end>").unwrap().to_owned()
    }

    /// Waits for a text, ignoring line breaks.
    #[track_caller]
    fn sees(&self, text: &str) {
        for _ in 0..1000 {
            let seen = self.seen();
            if seen.contains(text) || unbroken(&seen).contains(text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{text:?} is not in {:?}", self.seen());
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }
}

fn resize(terminal: &impl AsFd, columns: u16) {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

/// Removes line breaks that a narrow terminal causes.
fn unbroken(text: &str) -> String {
    text.replace("\r\n", "\n").lines().map(str::trim_start).collect::<Vec<_>>().join(" ")
}

#[test]
fn asks_for_confirmation_and_accepts_only_yes() {
    for (answer, code) in [
        ("y\n", 0),
        ("yes\n", 0),
        ("YES\n", 0),
        (" y \n", 0),
        ("n\n", 2),
        ("\n", 2),
        ("yess\n", 2),
        ("example.com\n", 2),
        ("\u{4}", 2),
    ] {
        for verb in ["purge", "invalidate"] {
            let api = Api::quick();
            let mut terminal = Terminal::new();
            let process = terminal.start(cfcache(&api).arg(verb).args("everything -z example.com"));
            terminal.sees("every cached file of zone example.com, in all of its environments? [y/N] ");
            assert_eq!(api.requests(), 0);
            terminal.types(answer);
            let ran = process.finish_quietly();
            ran.exits(code);
            match code {
                0 => assert_eq!(api.bodies().iter().filter(|body| !body.is_empty()).count(), 1),
                _ => {
                    terminal.sees("not confirmed; nothing was changed");
                    assert_eq!(api.requests(), 0, "{answer:?}");
                    assert_eq!(ran.out, "");
                }
            }
        }
    }
}

#[test]
fn shows_and_removes_a_progress_line() {
    let api = Api::with_fault("delay=700ms");
    let terminal = Terminal::new();
    let dir = Dir::new();
    let list = dir.file("list", urls(500));
    let process = terminal.start(cfcache(&api).args("purge urls --concurrency 1 --from").arg(list));
    terminal.sees("0 of 500 URLs accepted");
    terminal.sees("200 of 500 URLs accepted");
    let ran = process.finish_quietly();
    ran.exits(0);
    wait_until(|| terminal.seen().ends_with("\r\u{1b}[K"));
    let seen = terminal.seen();
    assert!(seen.contains("1 in flight"), "{seen:?}");
    assert!(!ran.out.contains('\u{1b}'));
}

#[test]
fn shortens_the_progress_line_to_any_width() {
    for (columns, beginning) in
        [(20, "0 of 500 URLs accep"), (40, "0 of 500 URLs accepted, "), (200, "0 of 500 URLs accepted, ")]
    {
        let api = Api::with_fault("delay=1500ms");
        let terminal = Terminal::with_columns(columns);
        let dir = Dir::new();
        let list = dir.file("list", urls(500));
        let process = terminal.start(cfcache(&api).args("purge urls --concurrency 1 --from").arg(list));
        terminal.sees(beginning);
        process.signal("TERM");
        process.finish_quietly();
        // No line is as wide as the terminal, because a wrapped line could not be removed.
        let seen = terminal.seen();
        let drawn: Vec<&str> =
            seen.split("\r\u{1b}[K").skip(1).filter(|line| line.contains("500 URLs")).collect();
        assert!(!drawn.is_empty(), "{seen:?}");
        for line in drawn {
            let line = line.lines().next().unwrap();
            assert!(line.chars().count() < usize::from(columns), "{line:?}");
            let ends_well =
                ["accepted", "failed", "/s", "in flight", "left", ")"].iter().any(|end| line.ends_with(end));
            assert!(ends_well || columns < 25, "{line:?}");
        }
    }
}

#[test]
fn explains_what_ctrl_c_waits_for() {
    let api = Api::with_fault("delay=2500ms");
    let terminal = Terminal::new();
    let dir = Dir::new();
    let list = dir.file("list", urls(500));
    let process = terminal.start(cfcache(&api).args("purge urls --concurrency 2 --from").arg(list));
    terminal.sees("2 in flight");
    process.signal("INT");
    terminal.sees("press Ctrl-C again to stop at once");
    terminal.sees("waiting for 2 requests");
    process.finish_quietly().exits(130);
}

#[test]
fn a_dumb_terminal_gets_no_escapes_and_no_color_no_color() {
    let purge = |name: &str, value: &str| {
        let api = Api::with_fault("delay=1500ms,at=1");
        let failing =
            "purge urls https://www.example.com/a https://www.example.com/b --batch-size 1 --concurrency 1";
        let seen = Terminal::new().shows(cfcache(&api).args(failing).env(name, value), 0);
        assert!(seen.contains("accepted: purge 2 URLs"), "{seen:?}");
        seen
    };
    let plain = purge("NO_COLOR", "1");
    // The progress line is drawn, because removing a line is not color.
    assert!(plain.contains("0 of 2 URLs accepted"), "{plain:?}");
    assert!(!plain.replace("\u{1b}[K", "").contains('\u{1b}'), "{plain:?}");
    let dumb = purge("TERM", "dumb");
    assert!(!dumb.contains('\u{1b}') && !dumb.contains('\r'), "{dumb:?}");
    let api = Api::quick();
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        for line in ["--help", "purge", "purge --nonsense", "zones list", "settings", "config show"] {
            let ran = cfcache(&api).args(line).env(name, value);
            let code = if line.starts_with("purge") { 2 } else { 0 };
            let seen = Terminal::new().shows(ran, code);
            assert!(!seen.contains('\u{1b}'), "{name} {line}: {seen:?}");
        }
    }
    assert!(Terminal::new().shows(cfcache(&api).arg("--help"), 0).contains('\u{1b}'));
}

#[test]
fn wraps_messages_between_words() {
    let api = Api::quick();
    for columns in [40, 60, 80] {
        for line in [
            "purge urls nonsense https://www.example.com/a",
            "-z missing.example zones list",
            "purge everything --failed-to x",
            "origin-regions get 192.0.2.1",
        ] {
            let ran = cfcache(&api).args(line).without("CLOUDFLARE_API_TOKEN");
            let terminal = Terminal::with_columns(columns);
            let process = terminal.start(ran.args("--color always"));
            process.finish_quietly();
            terminal.sees("error:");
            wait_until(|| terminal.seen().ends_with('\n'));
            let seen = terminal.seen();
            for shown in seen.lines() {
                let shown =
                    shown.replace("\u{1b}[1;31m", "").replace("\u{1b}[1;36m", "").replace("\u{1b}[0m", "");
                assert!(shown.chars().count() <= usize::from(columns), "{columns}: {seen}");
            }
        }
    }
}

#[test]
fn narrow_tables_use_several_lines_per_row() {
    let api = Api::quick();
    let shows = |columns: u16| Terminal::with_columns(columns).shows(cfcache(&api).args("zones list"), 0);
    let wide = "NAME         ID                                STATUS  PLAN\n\
                example.com  023e105f4ecef8ad9ca31a8372d0c353  active  free\n";
    assert_eq!(shows(80), wide);
    assert_eq!(shows(59), wide);
    assert_eq!(
        shows(58),
        "NAME    example.com\nID      023e105f4ecef8ad9ca31a8372d0c353\nSTATUS  active\nPLAN    free\n"
    );
    // Without a terminal, there is no width.
    assert_eq!(cfcache(&api).args("zones list").env("COLUMNS", "40").run().out, wide);
}

#[test]
fn the_settings_fit_a_terminal_of_80_columns() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.at(".config/cfcache")).unwrap();
    std::fs::create_dir(dir.at("site")).unwrap();
    let token = dir.file("token-of-production", "x");
    let text = format!(
        "profile = \"production\"\n[profiles.production]\nplan = \"enterprise\"\ntoken-file = {:?}\n\
         [zones]\n\"www.shop.example.com\" = \"{ZONE}\"\n\"example.com\" = \"{ZONE}\"\n",
        token.display().to_string()
    );
    dir.file(".config/cfcache/config.toml", text);
    dir.file("site/.cfcache.toml", "zone = \"example.com\"\n");
    let show = bare().env("HOME", dir.path()).current_dir(&dir.at("site")).args("config show");
    insta::assert_snapshot!(Terminal::new().shows(show, 0));
}

#[test]
fn shows_the_end_of_a_wait_that_the_server_demands() {
    let api = Api::with_fault("status=429,retry-after=3,times=1");
    let terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags a b c"));
    terminal.sees("rate limited, continues in 3 s");
    terminal.sees("rate limited, continues in 1 s");
    process.finish_quietly().exits(0);
}

#[test]
fn shows_failures_with_their_reason_and_the_next_attempt() {
    let api = Api::with_fault("status=503,retry-after=3,times=1");
    let terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags a b c"));
    // If there is not enough space, "nothing accepted yet" is omitted.
    terminal.sees("\u{1b}[Kstatus 503: the response states no reason, try 1 of 11, again in 2 s\r");
    process.finish_quietly().exits(0);
    // The reason is truncated so that the other parts fit.
    let api = Api::with_fault("status=503,retry-after=3,at=2");
    let terminal = Terminal::new();
    let purge = "purge tags a b c --batch-size 2 --concurrency 1";
    let process = terminal.start(cfcache(&api).args(purge));
    terminal.sees("2 of 3 tags accepted, status 503: the response stat…, try 1 of 11, again in 2 s\r");
    process.finish_quietly().exits(0);
    // The whole reason, if there is space.
    let api = Api::with_fault("status=503,retry-after=3,times=1");
    let terminal = Terminal::with_columns(120);
    let process = terminal.start(cfcache(&api).args("purge tags a b c"));
    terminal.sees(
        "0 of 3 tags accepted, the API answered with status 503: the response states no reason, try 1 of 11, again",
    );
    process.finish_quietly().exits(0);
    // Also if nothing else is drawn.
    let api = Api::with_fault("status=503,retry-after=1,times=1");
    let terminal = Terminal::new();
    terminal.start(cfcache(&api).args("purge everything -y")).finish_quietly().exits(0);
    terminal.sees(", try 1 of 11, again in 1 s");
    terminal.sees("\r\u{1b}[K");
}

#[test]
fn removes_the_whole_progress_line_after_the_terminal_was_narrowed() {
    let api = Api::with_fault("delay=2500ms");
    let terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags a b c"));
    terminal.sees("0 of 3 tags accepted, 0/s, 1 in flight");
    terminal.resize(30);
    // The existing text now needs two lines.
    terminal.sees("\u{1b}[1A\r\u{1b}[J0 of 3 tags accepted");
    process.finish_quietly().exits(0);
    assert_eq!(terminal.seen().matches("\u{1b}[1A").count(), 1, "{:?}", terminal.seen());
}

#[test]
fn shows_the_progress_line_while_answers_go_to_a_file() {
    let edge = visitors::Edge::start(|_, _| visitors::Page::new("HIT").header("Age: 1"));
    let dir = Dir::new();
    let list = dir.file("list.txt", urls(100_000));
    let terminal = Terminal::new();
    let out = File::create(dir.at("out.txt")).unwrap();
    let cmd = bare().args("probe --no-rate-limit --concurrency 1 --output ndjson --from").arg(&list);
    let cmd = cmd.arg("--verify-connect").arg(edge.at()).stdin(Stdio::null()).stdout(out);
    let started = cmd.stderr(terminal.end()).start_as_it_is();
    terminal.sees(" left (");
    // The line is redrawn eight times per second. Each answer removes it and draws it again.
    wait_until(|| terminal.seen().matches(" of 100000 URLs asked, ").count() > 250);
    started.kill();
}

#[test]
fn progress_and_color_can_be_disabled() {
    let api = Api::with_fault("delay=900ms");
    for options in ["--quiet", "--no-progress"] {
        let terminal = Terminal::new();
        let process = terminal.start(cfcache(&api).args("purge tags a").args(options));
        process.finish_quietly().exits(0);
        assert_eq!(terminal.seen(), "", "{options}");
    }
    let told = |cmd: Cmd| {
        let terminal = Terminal::new();
        terminal.start(cmd).finish_quietly().exits(2);
        terminal.sees("nothing was sent");
        terminal.seen()
    };
    let purge = || cfcache(&api).args("purge urls nonsense");
    assert!(told(purge()).contains("\u{1b}[1;31merror:"));
    assert!(!told(purge().env("NO_COLOR", "1")).contains('\u{1b}'));
    assert!(!told(purge().env("TERM", "dumb")).contains('\u{1b}'));
    assert!(!told(purge().args("--color never")).contains('\u{1b}'));
    assert!(told(purge().env("NO_COLOR", "")).contains('\u{1b}'));
}

#[test]
fn the_progress_line_does_not_overwrite_typed_entries() {
    let api = Api::quick();
    let mut terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags --json --from -"));
    terminal.sees("reading entries from the terminal, one per line; Ctrl-D ends the input");
    terminal.types("tag-1\n");
    std::thread::sleep(Duration::from_millis(700));
    terminal.types("tag-2\n\u{4}");
    let ran = process.finish_quietly();
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 2);
    assert!(!terminal.seen().contains("accepted,"), "{:?}", terminal.seen());
    wait_until(|| api.items().len() == 2);
}

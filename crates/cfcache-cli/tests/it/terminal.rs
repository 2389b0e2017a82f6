//! On a terminal: the question, the progress line, color. The terminal is a real one, of 80 columns.

#![cfg(target_os = "linux")]

use core::time::Duration;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Api, Cmd, Dir, Started, cfcache, urls, wait_until};

/// Both ends of a terminal: what a person types and sees, and what a process has.
struct Terminal {
    person: File,
    path: std::path::PathBuf,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&person, size).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap().into();
        let person = File::from(person);
        let seen = Arc::new(Mutex::new(String::new()));
        let mut reader = person.try_clone().unwrap();
        let seen_too = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Once the last process has let go of it there is an error, and nothing more to be seen.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                seen_too.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { person, path, seen }
    }

    fn end(&self) -> Stdio {
        Stdio::from(File::options().read(true).write(true).open(&self.path).unwrap())
    }

    fn start(&self, cmd: Cmd) -> Started {
        cmd.stdin(self.end()).stderr(self.end()).start_as_it_is()
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        for _ in 0..1000 {
            if self.seen().contains(text) {
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

#[test]
fn a_question_is_asked_and_only_a_yes_is_a_yes() {
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
fn a_line_shows_how_far_it_is_and_goes_away() {
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
    // No line is wider than the terminal: one that wraps could not be taken away.
    assert!(seen.split("\r\u{1b}[K").all(|line| line.chars().count() < 80), "{seen:?}");
    assert!(seen.contains("1 in flight"), "{seen:?}");
    assert!(!ran.out.contains('\u{1b}'));
}

#[test]
fn a_wait_that_the_server_demands_is_shown_with_its_end() {
    let api = Api::with_fault("status=429,retry-after=3,times=1");
    let terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags a b c"));
    terminal.sees("rate limited, continues in 3 s");
    terminal.sees("rate limited, continues in 1 s");
    process.finish_quietly().exits(0);
}

#[test]
fn progress_can_be_switched_off_and_color_too() {
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
fn entries_can_be_typed_and_are_not_drawn_over() {
    let api = Api::quick();
    let mut terminal = Terminal::new();
    let process = terminal.start(cfcache(&api).args("purge tags --json --from -"));
    terminal.sees("reading entries from the terminal, one a line; Ctrl-D ends");
    terminal.types("tag-1\n");
    std::thread::sleep(Duration::from_millis(700));
    terminal.types("tag-2\n\u{4}");
    let ran = process.finish_quietly();
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 2);
    assert!(!terminal.seen().contains("accepted,"), "{:?}", terminal.seen());
    wait_until(|| api.items().len() == 2);
}

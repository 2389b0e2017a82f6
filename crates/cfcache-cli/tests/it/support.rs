//! Shared helpers: a process, an API, a directory.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;

use cfcache_emulator::{Config, Emulator, Log};
use cfcache_model::Plan;
use tokio::sync::oneshot;

/// The zone of the emulator.
pub(crate) const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// A token of a valid form.
pub(crate) const TOKEN: &str = "tok3nTOK3Ntok3nTOK3Ntok3nTOK3Ntok3nTOK3N";

/// An emulator in this process, whose log tests can read.
pub(crate) struct Api {
    base: String,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    pub(crate) fn start(config: Config) -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap();
                ready.send((running.base_url(), running.log())).unwrap();
                let _stopped = stopped.await;
                running.stop().await;
            });
        });
        let (base, log) = is_ready.recv().unwrap();
        Self { base, log, stop: Some(stop), thread: Some(thread) }
    }

    /// Starts an emulator without rate limits.
    pub(crate) fn quick() -> Self {
        Self::start(Config::new(Plan::Free).with_limits(false))
    }

    /// Starts an emulator with a fault.
    pub(crate) fn with_fault(fault: &str) -> Self {
        let config = Config::new(Plan::Free).with_limits(false);
        Self::start(config.with_fault(fault.parse().unwrap()))
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Returns the number of received requests.
    pub(crate) fn requests(&self) -> u64 {
        self.log.counts().requests
    }

    /// Returns the bodies of all received purges and invalidations.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let is_purge = |entry: &cfcache_emulator::LogEntry| entry.path.contains("_cache");
        let entries = self.log.entries();
        let body = |entry: &cfcache_emulator::LogEntry| String::from_utf8(entry.body.to_vec()).unwrap();
        entries.iter().filter(|entry| is_purge(entry)).map(body).collect()
    }

    /// Returns method and path of all received requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.log.entries().iter().map(|entry| format!("{} {}", entry.method, entry.path)).collect()
    }

    /// Returns the URLs, tags, hosts or prefixes that took effect, in order.
    pub(crate) fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        for entry in self.log.entries().iter().filter(|entry| entry.processed) {
            let Ok(serde_json::Value::Object(body)) = serde_json::from_slice(&entry.body) else { continue };
            for value in body.values().filter_map(serde_json::Value::as_array).flatten() {
                items.push(match value.as_str() {
                    Some(text) => text.to_owned(),
                    None => value["url"].as_str().unwrap().to_owned(),
                });
            }
        }
        items
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A command for the binary, with an empty environment.
pub(crate) struct Cmd {
    command: Command,
    input: Option<Vec<u8>>,
}

/// Creates a command without settings.
pub(crate) fn bare() -> Cmd {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfcache"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Cmd { command, input: None }
}

/// Creates a command with a zone and a token, for `api`.
pub(crate) fn cfcache(api: &Api) -> Cmd {
    bare()
        .env("CLOUDFLARE_BASE_URL", api.base())
        .env("CLOUDFLARE_ZONE_ID", ZONE)
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
}

/// Creates a command that runs a script in `sh`, with a zone and a token for `api`. `$0` is the binary.
pub(crate) fn shell(api: &Api, script: &str) -> Cmd {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_cfcache"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Cmd { command, input: None }
        .env("CLOUDFLARE_BASE_URL", api.base())
        .env("CLOUDFLARE_ZONE_ID", ZONE)
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
}

impl Cmd {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments, separated by blanks.
    pub(crate) fn args(mut self, line: &str) -> Self {
        self.command.args(line.split_whitespace());
        self
    }

    /// Sets bytes for standard input, through a pipe.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    pub(crate) fn current_dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn run(mut self) -> Ran {
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().unwrap();
        let writer = self.input.map(|input| {
            let mut stdin = child.stdin.take().unwrap();
            // The process may stop reading early.
            std::thread::spawn(move || drop(stdin.write_all(&input)))
        });
        let output = child.wait_with_output().unwrap();
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it with the configured input and output.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_as_it_is(mut self) -> Started {
        Started { child: self.command.spawn().unwrap(), stdin: None, lines: Vec::new() }
    }

    /// Starts it, and kills it after this time.
    pub(crate) fn kill_after(mut self, time: Duration) {
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let writer = self.input.map(|input| {
            let mut stdin = child.stdin.take().unwrap();
            std::thread::spawn(move || drop(stdin.write_all(&input)))
        });
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
    }

    /// Starts it with a pipe as its input.
    pub(crate) fn start(mut self) -> Started {
        let mut child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        Started { child, stdin, lines: Vec::new() }
    }
}

/// The result of a process.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Returns all output as one text, for a snapshot.
    pub(crate) fn told(&self) -> String {
        let mut told = String::new();
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !text.is_empty() {
                told.push_str(&format!("{name}:\n{}", tidy(text)));
            }
        }
        told.push_str(&format!("exit code: {}", self.code.unwrap()));
        told
    }

    /// Parses the single object of `--json`.
    #[track_caller]
    pub(crate) fn report(&self) -> serde_json::Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        let report: serde_json::Value = serde_json::from_str(&self.out).unwrap();
        adds_up(&report);
        report
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Checks that standard output is empty.
    #[track_caller]
    pub(crate) fn says_nothing(&self) -> &Self {
        assert_eq!(self.out, "", "{self:?}");
        self
    }

    /// Checks that standard error contains a text.
    #[track_caller]
    pub(crate) fn tells(&self, part: &str) -> &Self {
        assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        self
    }
}

#[track_caller]
pub(crate) fn adds_up(report: &serde_json::Value) {
    let count = |name: &str| report[name].as_u64().unwrap();
    let parts = ["accepted", "failed", "invalid", "duplicates", "skipped"];
    let sum: u64 = parts.map(count).iter().sum();
    assert_eq!(sum, count("items"), "{report}");
    let named = report["failures"].as_array().unwrap().len() as u64;
    let omitted = report["failures_omitted"].as_u64().unwrap_or(0);
    assert_eq!(named + omitted, count("failed") + count("invalid"), "{report}");
}

/// Replaces values that differ in each run: ports, times, rays.
pub(crate) fn tidy(text: &str) -> String {
    let mut tidied = String::new();
    for line in text.split_inclusive('\n') {
        tidied.push_str(&times(&after(line, "127.0.0.1:", char::is_numeric, "[PORT]")));
    }
    let tidied = after(&tidied, "\"elapsed_ms\":", char::is_numeric, "[TIME]");
    after(&tidied, "cf-ray ", |char| char.is_ascii_alphanumeric() || char == '-', "[RAY]")
}

/// Replaces the characters after each `mark` for which `is_part` is true.
fn after(text: &str, mark: &str, is_part: fn(char) -> bool, by: &str) -> String {
    let mut pieces = text.split(mark);
    let mut result = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(is_part);
        let shown = if rest.len() < piece.len() { by } else { "" };
        result.push_str(&format!("{mark}{shown}{rest}"));
    }
    result
}

/// Replaces times such as "12 ms", "0.4 s" and "1.25 s".
fn times(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
    for index in 1..words.len() {
        let unit = words[index].trim_end_matches([')', ',', ']', '\n', ';', ':']).to_owned();
        let number = words[index - 1].trim_start_matches(['(', '[']);
        let is_time =
            matches!(unit.as_str(), "ms" | "s") && number.parse::<f64>().is_ok() && number.contains(['.'])
                || unit == "ms" && number.parse::<u64>().is_ok();
        if is_time {
            let opening = words[index - 1].len() - number.len();
            let opening = words[index - 1][..opening].to_owned();
            words[index - 1] = format!("{opening}[TIME]");
            words[index] = words[index].replacen(&unit, "", 1);
        }
    }
    words.join(" ").replace("[TIME] ", "[TIME]")
}

/// Sends a signal, named as for `kill`. The shell has `kill` built in; not every machine has it as a program.
#[cfg(unix)]
#[track_caller]
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status();
    assert!(status.unwrap().success());
}

/// A running process.
pub(crate) struct Started {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Vec<String>,
}

impl Started {
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn end(&mut self) {
        self.stdin = None;
    }

    /// Closes the reading end of its standard output.
    pub(crate) fn close_output(&mut self) {
        self.child.stdout = None;
    }

    /// Sends SIGTERM without starting another program, which takes a while.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// Sends a signal, named as for `kill`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Reads the next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(1, self.child.stdout.as_mut().unwrap());
        reader.read_line(&mut line).unwrap();
        self.lines.push(line.clone());
        line
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and checks only its exit code.
    #[track_caller]
    pub(crate) fn ends(mut self, code: i32) {
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }

    /// Waits for its end, if its standard error is redirected.
    #[cfg(target_os = "linux")]
    pub(crate) fn finish_quietly(mut self) -> Ran {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        Ran { code: self.child.wait().unwrap().code(), out, err: String::new() }
    }

    pub(crate) fn finish(mut self) -> Ran {
        drop(self.stdin.take());
        let mut err = self.child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let mut out = self.lines.concat();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        Ran { code, out, err: errors.join().unwrap() }
    }
}

/// A temporary directory, deleted on drop.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cfcache-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns distinct URLs, one per line.
pub(crate) fn urls(count: usize) -> String {
    (0..count).map(|number| format!("https://www.example.com/{number}\n")).collect()
}

/// Waits for a condition, at most ten seconds.
#[track_caller]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to be so");
}

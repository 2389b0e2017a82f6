//! `probe`

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfcache_model::text::clip;
use cfcache_probe::{Answer, CacheStatus, NoAnswer, Obstacle, Target, Visit};
use serde::Serialize;
use tokio::sync::Notify;

use crate::args::OutputArg;
use crate::command::Interrupts;
use crate::command::visiting::{Meter, Urls, draw, nothing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::resolve::VisitJob;
use crate::source::Sources;

/// Asks each URL once, and shows what came.
pub(crate) async fn run(job: VisitJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let sources = Sources::open(job.targets, false, talk)?;
    let meter = RefCell::new(Meter::new("URL", "asked", sources.total()));
    let (exit, read) = (Cell::new(Exit::Accepted), Cell::new(0));
    let urls = Urls::read(sources, talk, &exit, &read);
    let visitor = Arc::new(job.visitor.build());
    let mut output = Output::new(talk);
    let closed = Notify::new();
    let mut emit = |target: &Target, visited: &Result<Visit, NoAnswer>| {
        meter.borrow_mut().count(visited.is_ok());
        exit.set(exit.get().or(output.show(&target.url, visited)));
        if talk.is_closed() {
            closed.notify_one();
        }
    };
    let stop = async {
        tokio::select! {
            () = interrupts.nth(1) => {}
            () = closed.notified() => {}
        }
    };
    let is_whole = tokio::select! {
        is_whole = cfcache_probe::probe(&visitor, job.limits, urls, &mut emit, stop) => is_whole,
        () = draw(&meter, talk) => false,
    };
    talk.clear();
    output.end();
    let done = meter.borrow().done();
    if talk.is_closed() {
        // Whoever read the output has read enough of it.
        return Ok(exit.get());
    }
    if !is_whole {
        let of = meter_total(&meter);
        talk.say(&format!("interrupted: {done}{of} asked"));
        return Ok(exit.get().or(Exit::Interrupted));
    }
    if done == 0 && exit.get() == Exit::Accepted {
        return Err(nothing());
    }
    output.summarize(done, meter.borrow().elapsed());
    Ok(exit.get())
}

fn meter_total(meter: &RefCell<Meter>) -> String {
    meter.borrow().total().map_or_else(|| " URLs were".to_owned(), |total| format!(" of {total} URLs were"))
}

/// What is printed of an answer for programs.
#[derive(Serialize)]
struct Row<'a> {
    url: &'a str,
    /// The HTTP status; null where no answer came.
    status: Option<u16>,
    cache_status: Option<&'a str>,
    age: Option<u64>,
    /// The data centre that answered.
    colo: Option<&'a str>,
    etag: Option<&'a str>,
    ray: Option<&'a str>,
    location: Option<&'a str>,
    bytes: Option<u64>,
    /// The hash of the body, where it was read to its end.
    sha256: Option<String>,
    /// What it means, in a few words.
    meaning: &'a str,
    /// Why no answer came, or why its body broke off.
    error: Option<&'a str>,
}

/// Shows answers as they come.
struct Output<'a> {
    talk: &'a Talk,
    shown: u64,
    statuses: BTreeMap<String, u64>,
    colos: BTreeSet<String>,
    obstacles: BTreeMap<Obstacle, u64>,
    columns: Option<usize>,
}

impl<'a> Output<'a> {
    fn new(talk: &'a Talk) -> Self {
        let columns = terminal_size::terminal_size_of(std::io::stdout());
        Self {
            talk,
            shown: 0,
            statuses: BTreeMap::new(),
            colos: BTreeSet::new(),
            obstacles: BTreeMap::new(),
            columns: columns.map(|(width, _)| usize::from(width.0)),
        }
    }

    /// Shows one, and gives how the process ends for it.
    fn show(&mut self, url: &str, visited: &Result<Visit, NoAnswer>) -> Exit {
        let answer = visited.as_ref().ok().map(|visit| &visit.answer);
        let obstacle = answer.and_then(Answer::obstacle);
        let status = match answer {
            None => "no answer",
            Some(Answer { cache_status: Some(status), .. }) => status.as_str(),
            Some(_) => "no cache status",
        };
        *self.statuses.entry(status.to_owned()).or_default() += 1;
        if let Some(colo) = answer.and_then(Answer::colo)
            && self.colos.len() < COLOS
        {
            self.colos.insert(colo.to_owned());
        }
        let exit = match (&obstacle, answer) {
            (_, None) => Exit::Unreachable,
            (Some(_), _) => Exit::Failed,
            (None, Some(_)) => Exit::Accepted,
        };
        if let Some(obstacle) = obstacle {
            *self.obstacles.entry(obstacle).or_default() += 1;
        }
        match self.talk.output {
            OutputArg::Human => self.line(url, visited),
            OutputArg::Json | OutputArg::Ndjson => self.row(url, visited),
        }
        self.shown += 1;
        exit
    }

    fn row(&self, url: &str, visited: &Result<Visit, NoAnswer>) {
        let (answer, error) = match visited {
            Ok(visit) => (Some(&visit.answer), visit.broken.as_deref()),
            Err(why) => (None, Some(why.as_str())),
        };
        let sha256 = answer.and_then(|answer| answer.body.sha256).map(|hash| hash.to_string());
        let row = Row {
            url,
            status: answer.map(|answer| answer.status),
            cache_status: answer.and_then(|answer| answer.cache_status.as_ref()).map(CacheStatus::as_str),
            age: answer.and_then(|answer| answer.age),
            colo: answer.and_then(Answer::colo),
            etag: answer.and_then(|answer| answer.etag.as_deref()),
            ray: answer.and_then(|answer| answer.ray.as_deref()),
            location: answer.and_then(|answer| answer.location.as_deref()),
            bytes: answer.map(|answer| answer.body.bytes),
            sha256,
            meaning: &meaning(answer),
            error,
        };
        let Ok(row) = serde_json::to_string(&row) else { return };
        // One array, a line an object, so that nothing has to be held until the end.
        match (self.talk.output, self.shown) {
            (OutputArg::Ndjson, _) => self.talk.data(&row),
            (_, 0) => self.talk.data(&format!("[{row}")),
            _ => self.talk.data(&format!(",{row}")),
        }
    }

    fn line(&self, url: &str, visited: &Result<Visit, NoAnswer>) {
        let answer = visited.as_ref().ok().map(|visit| &visit.answer);
        let url = clip(url, 2048);
        let Some(answer) = answer else {
            let why = visited.as_ref().err().map_or("", NoAnswer::as_str);
            self.print(&format!("{:3}  {:11}  {:>10}  {:3}  {:12}", "-", "-", "-", "-", "-"), why, &url);
            return;
        };
        let age = answer
            .age
            .map_or_else(|| "-".to_owned(), |age| human::whole(core::time::Duration::from_secs(age)));
        let status = answer.cache_status.as_ref().map_or("-", CacheStatus::as_str);
        let etag = clip(answer.etag.as_deref().unwrap_or("-"), 12);
        let facts = format!(
            "{:3}  {:11}  {:>10}  {:3}  {etag:12}",
            answer.status,
            clip(status, 11),
            age,
            answer.colo().unwrap_or("-"),
        );
        self.print(&facts, &meaning(Some(answer)), &url);
    }

    /// One line; two on a terminal that is too narrow for it.
    fn print(&self, facts: &str, meaning: &str, url: &str) {
        let line = format!("{facts}  {url}  {meaning}");
        if self.columns.is_none_or(|columns| human::width(&line) <= columns) {
            self.talk.data(&line);
        } else {
            self.talk.data(url);
            self.talk.tell(&format!("  {}  {meaning}", facts.trim_end()));
        }
    }

    /// Everything was shown.
    fn end(&self) {
        if self.talk.output == OutputArg::Json {
            self.talk.data(if self.shown == 0 { "[]" } else { "]" });
        }
    }

    fn summarize(&self, done: u64, elapsed: core::time::Duration) {
        if done > 1 {
            let parts: Vec<String> =
                self.statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
            let mut line = format!(
                "asked {} in {}: {}",
                human::count(done, "URL"),
                human::duration(elapsed),
                parts.join(", ")
            );
            match self.colos.len() {
                0 => {}
                1 => line.push_str(&format!("; seen from {} only", self.names())),
                _ => line.push_str(&format!("; seen from {}", self.names())),
            }
            self.talk.note(&line);
        }
        for (obstacle, count) in &self.obstacles {
            self.talk.hint(&format!(
                "{}: {obstacle}: {}{HEADERS}",
                human::count(*count, "URL"),
                obstacle.cure()
            ));
        }
    }

    fn names(&self) -> String {
        self.colos.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// More data centres than this are not told apart.
const COLOS: usize = 20;

/// How extra headers are given.
pub(crate) const HEADERS: &str = " (`--visitor-headers FILE` gives extra headers)";

/// What an answer means, in a few words.
fn meaning(answer: Option<&Answer>) -> String {
    let Some(answer) = answer else { return "no answer".to_owned() };
    if !answer.is_from_edge() {
        return "not behind Cloudflare".to_owned();
    }
    if let Some(obstacle) = answer.obstacle() {
        return match obstacle {
            Obstacle::Challenge(_) => "a challenge page".to_owned(),
            Obstacle::Login => "wants a login (Cloudflare Access)".to_owned(),
            Obstacle::RateLimited => "rate limited".to_owned(),
            Obstacle::EdgeError(code) => format!("the edge's error {code}"),
            _ => "blocked by a rule".to_owned(),
        };
    }
    if answer.status >= 500 {
        return format!("an error ({})", answer.status);
    }
    let words = match &answer.cache_status {
        Some(CacheStatus::Hit) => "cached",
        Some(CacheStatus::Miss) => "was not cached, is now",
        Some(CacheStatus::Expired) => "was stale, fetched anew",
        Some(CacheStatus::Revalidated) => "was stale, is unchanged",
        Some(CacheStatus::Updating) => "stale, being refreshed",
        Some(CacheStatus::Stale) => "stale, the origin is down",
        Some(CacheStatus::Bypass) => "its headers forbid caching",
        Some(CacheStatus::Dynamic) => "not eligible for the cache",
        Some(_) => "an unknown cache status",
        None if answer.is_redirect() => "a redirect by the edge",
        None => "no word of the cache",
    };
    match &answer.location {
        Some(location) if answer.is_redirect() => format!("{words}; redirects to {}", clip(location, 200)),
        _ => words.to_owned(),
    }
}

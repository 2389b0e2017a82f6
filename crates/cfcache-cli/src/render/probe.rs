//! Prints the results of `probe`.

use cfcache_app::visiting::ProbeReport;
use cfcache_model::text::clip;
use cfcache_probe::{CacheStatus, NoAnswer, Obstacle, Visit, VisitorAnswer};
use serde::Serialize;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::render::{Terminal, human};

/// Prints one result.
pub(super) fn show(terminal: &Terminal, url: &str, visited: &Result<Visit, NoAnswer>) {
    match terminal.output {
        OutputArg::Human => line(terminal, url, visited),
        OutputArg::Json | OutputArg::Ndjson => row(terminal, url, visited),
    }
}

/// Prints the summary, and returns the exit code.
pub(crate) fn print(report: &ProbeReport, terminal: &Terminal) -> Exit {
    terminal.clear();
    if terminal.output == OutputArg::Json {
        terminal.data(if report.asked == 0 { "[]" } else { "]" });
    }
    if report.is_interrupted {
        let of =
            report.total.map_or_else(|| " URLs were".to_owned(), |total| format!(" of {total} URLs were"));
        terminal.say(&format!("interrupted: {}{of} asked", report.asked));
    } else if !terminal.is_closed() {
        summarize(report, terminal);
    }
    report.exit
}

fn summarize(report: &ProbeReport, terminal: &Terminal) {
    if report.asked > 1 {
        let parts: Vec<String> =
            report.statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let mut line = format!(
            "asked {} in {}: {}",
            human::count(report.asked, "URL"),
            human::duration(report.elapsed),
            parts.join(", ")
        );
        let names = report.colos.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match report.colos.len() {
            0 => {}
            1 => line.push_str(&format!("; seen from {names} only")),
            _ => line.push_str(&format!("; seen from {names}")),
        }
        terminal.note(&line);
    }
    for (obstacle, count) in &report.obstacles {
        terminal.hint(&format!("{}: {obstacle}: {}{HEADERS}", human::count(*count, "URL"), obstacle.cure()));
    }
}

/// A result as JSON.
#[derive(Serialize)]
struct ProbeRow<'a> {
    url: &'a str,
    /// The HTTP status; null if there was no response.
    status: Option<u16>,
    cache_status: Option<&'a str>,
    age: Option<u64>,
    /// The data center that responded.
    colo: Option<&'a str>,
    etag: Option<&'a str>,
    ray: Option<&'a str>,
    location: Option<&'a str>,
    bytes: Option<u64>,
    /// The hash of the body, if it was read completely.
    sha256: Option<String>,
    /// The meaning in a few words.
    meaning: &'a str,
    /// Why there was no response, or why its body is incomplete.
    error: Option<&'a str>,
}

fn row(terminal: &Terminal, url: &str, visited: &Result<Visit, NoAnswer>) {
    let (answer, error) = match visited {
        Ok(visit) => (Some(&visit.answer), visit.broken.as_deref()),
        Err(why) => (None, Some(why.as_str())),
    };
    let sha256 = answer.and_then(|answer| answer.body.sha256).map(|hash| hash.to_string());
    let row = ProbeRow {
        url,
        status: answer.map(|answer| answer.status),
        cache_status: answer.and_then(|answer| answer.cache_status.as_ref()).map(CacheStatus::as_str),
        age: answer.and_then(|answer| answer.age),
        colo: answer.and_then(VisitorAnswer::colo),
        etag: answer.and_then(|answer| answer.etag.as_deref()),
        ray: answer.and_then(|answer| answer.ray.as_deref()),
        location: answer.and_then(|answer| answer.location.as_deref()),
        bytes: answer.map(|answer| answer.body.bytes),
        sha256,
        meaning: &meaning(answer),
        error,
    };
    let Ok(row) = serde_json::to_string(&row) else { return };
    // One array with one object per line, so that nothing has to be kept until the end.
    match (terminal.output, terminal.count_row()) {
        (OutputArg::Ndjson, _) => terminal.data(&row),
        (_, 0) => terminal.data(&format!("[{row}")),
        _ => terminal.data(&format!(",{row}")),
    }
}

fn line(terminal: &Terminal, url: &str, visited: &Result<Visit, NoAnswer>) {
    let answer = visited.as_ref().ok().map(|visit| &visit.answer);
    let url = clip(url, 2048);
    let Some(answer) = answer else {
        let why = visited.as_ref().err().map_or("", NoAnswer::as_str);
        print_row(terminal, &format!("{:3}  {:11}  {:>10}  {:3}  {:12}", "-", "-", "-", "-", "-"), why, &url);
        return;
    };
    let age =
        answer.age.map_or_else(|| "-".to_owned(), |age| human::whole(core::time::Duration::from_secs(age)));
    let status = answer.cache_status.as_ref().map_or("-", CacheStatus::as_str);
    let etag = clip(answer.etag.as_deref().unwrap_or("-"), 12);
    let facts = format!(
        "{:3}  {:11}  {:>10}  {:3}  {etag:12}",
        answer.status,
        clip(status, 11),
        age,
        answer.colo().unwrap_or("-"),
    );
    let broken = visited.as_ref().ok().and_then(|visit| visit.broken.as_deref());
    let broken = broken.map(|why| format!("; incomplete: {why}")).unwrap_or_default();
    print_row(terminal, &facts, &format!("{}{broken}", meaning(Some(answer))), &url);
}

/// Prints one line; two if the terminal is too narrow.
fn print_row(terminal: &Terminal, facts: &str, meaning: &str, url: &str) {
    let columns = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    let line = format!("{facts}  {url}  {meaning}");
    if columns.is_none_or(|columns| human::width(&line) <= columns) {
        terminal.data(&line);
    } else {
        terminal.data(url);
        terminal.tell(&format!("  {}  {meaning}", facts.trim_end()));
    }
}

/// How to send extra headers.
pub(crate) const HEADERS: &str = " (`--visitor-headers FILE` sends extra headers)";

/// The meaning of a response in a few words.
fn meaning(answer: Option<&VisitorAnswer>) -> String {
    let Some(answer) = answer else { return "no answer".to_owned() };
    if !answer.is_from_edge() {
        return "not behind Cloudflare".to_owned();
    }
    if let Some(obstacle) = answer.obstacle() {
        return match obstacle {
            Obstacle::Challenge(_) => "a challenge page".to_owned(),
            Obstacle::Login => "requires a login (Cloudflare Access)".to_owned(),
            Obstacle::RateLimited => "rate limited".to_owned(),
            Obstacle::EdgeError(code) => format!("error {code} of the edge"),
            _ => "blocked by a rule".to_owned(),
        };
    }
    if answer.status >= 500 {
        return format!("an error ({})", answer.status);
    }
    let words = match &answer.cache_status {
        Some(CacheStatus::Hit) => "cached",
        // A response is cached only if its whole body was read.
        Some(CacheStatus::Miss) if answer.body.sha256.is_none() => "was not cached",
        Some(CacheStatus::Miss) => "was not cached, is now",
        Some(CacheStatus::Expired) => "was stale, fetched again",
        Some(CacheStatus::Revalidated) => "was stale, revalidated",
        Some(CacheStatus::Updating) => "stale, being refreshed",
        Some(CacheStatus::Stale) => "stale, the origin is down",
        Some(CacheStatus::Bypass) => "not cached because of its headers",
        Some(CacheStatus::Dynamic) => "not eligible for the cache",
        Some(_) => "an unknown cache status",
        None if answer.is_redirect() => "a redirect by the edge",
        None => "no cache status",
    };
    match &answer.location {
        Some(location) if answer.is_redirect() => format!("{words}; redirects to {}", clip(location, 200)),
        _ => words.to_owned(),
    }
}

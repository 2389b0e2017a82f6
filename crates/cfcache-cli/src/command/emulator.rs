//! `emulator`

use core::fmt;
use core::time::Duration;

use cfcache_app::console::Console;
use cfcache_app::{domain, whole};
use cfcache_client::Credentials;
use cfcache_emulator::{
    CacheRules, Config, EdgeConfig, EdgeOrigin, Emulator, Fault, FaultAction, Token, Zone,
};
use cfcache_model::target::Host;
use cfcache_model::{Plan, ZoneId};

use crate::args::EmulatorArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Terminal;
use crate::secret::{bare, may_be_secret, path_name, shown};

/// Serves the API until it is interrupted.
pub(crate) async fn serve(
    args: EmulatorArgs,
    plan: Plan,
    limits: bool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    if !args.listen.ip().is_loopback() {
        let risk = match args.token {
            Some(_) => "it is for tests only, and tokens are sent to it without encryption",
            None => "it is for tests only and accepts any token",
        };
        terminal.warn(&format!("other machines can reach the emulator; {risk}"));
    }
    // An id or name that no request can contain would be served but never found.
    ZoneId::parse(&args.zone_id).map_err(|invalid| refused("--zone-id", &args.zone_id, &invalid))?;
    Host::parse(&args.zone_name).map_err(|invalid| Failure::usage(format!("`--zone-name`: {invalid}")))?;
    let who = match args.token {
        Some(_) => "only the token of `--token` is accepted",
        None => "any token of a valid form is accepted",
    };
    let about =
        format!("its zone is {} ({}), on the plan {plan}; {who}", args.zone_name, bare(&args.zone_id));
    let mut config = Config::new(plan)
        .with_zone(Zone::new(&*args.zone_id, &*args.zone_name))
        .with_limits(limits)
        .with_clear_time(Duration::from_secs_f64(args.clear_seconds))
        // It may run for days, and nothing here reads the requests that it received.
        .with_max_log_entries(0);
    if let Some(token) = args.token.clone() {
        // Only tokens that a client can send are accepted here.
        Credentials::token(token.as_str().into())
            .map_err(|invalid| Failure::usage(format!("`--token`: {invalid}")))?;
        config = config.with_token(Token::new(token).with_state(args.token_state));
    }
    for fault in &args.faults {
        let text = fault;
        let fault: Fault =
            text.parse().map_err(|invalid| Failure::usage(format!("`--fault {text}`: {invalid}")))?;
        if fault.action == FaultAction::Survive && args.origin.is_none() {
            let why = format!("`--fault {text}` affects a cache, which needs `--origin`");
            return Err(Failure::usage(why));
        }
        config = config.with_fault(fault);
    }
    if let Some(origin) = &args.origin {
        let edge = edge(&args, origin)?;
        for note in edge.rules.notes() {
            terminal.warn(&format!("cache rules: {note}"));
        }
        if !args.edge_listen.ip().is_loopback() {
            terminal.warn("other machines can reach the edge");
        }
        config = config.with_edge(edge);
    }
    let running =
        Emulator::start(config, args.listen).await.map_err(|error| Failure::usage(error.to_string()))?;
    // The listener for signals starts here at the latest: whoever has read the line below may send one.
    tokio::task::yield_now().await;
    terminal.data(&format!("listening on {}", running.base_url()));
    if let Some(url) = running.edge_url() {
        terminal.data(&format!("edge on {url}"));
    }
    // The caller waits for this line, and would wait forever without it.
    if terminal.settle(Exit::Accepted) != Exit::Accepted {
        running.stop().await;
        return Ok(Exit::Failed);
    }
    terminal.note(&about);
    let console: &dyn Console = terminal;
    console.interrupted(1).await;
    running.stop().await;
    Ok(Exit::Accepted)
}

/// The error for the value of an option. The reason of `invalid` quotes the value, which may be a secret.
fn refused(option: &str, value: &str, invalid: &dyn fmt::Display) -> Failure {
    Failure::usage(if may_be_secret(value) {
        format!("`{option}`: {} cannot be used", shown(value))
    } else {
        format!("`{option}`: {invalid}")
    })
}

/// The maximum size of a file of cache rules.
const MAX_RULES_BYTES: u64 = 4 << 20;

/// Reads the settings of the edge.
fn edge(args: &EmulatorArgs, origin: &str) -> Result<EdgeConfig, Failure> {
    let origin: EdgeOrigin = origin.parse().map_err(|invalid| refused("--origin", origin, &invalid))?;
    let mut rules = CacheRules::default();
    for pattern in &args.cache {
        rules = rules
            .with_eligible(pattern)
            .map_err(|invalid| Failure::usage(format!("`--cache {pattern}`: {invalid}")))?;
        if !can_match(pattern, &args.zone_name) {
            let why = "no URL of the zone matches, so it has no effect; `--zone-name` sets the zone";
            return Err(Failure::usage(format!("`--cache {pattern}`: {why} ({} now)", args.zone_name)));
        }
    }
    if let Some(path) = &args.cache_rules {
        let shown = path_name(path);
        let text = whole::read(path, MAX_RULES_BYTES)
            .and_then(whole::text)
            .map_err(|error| Failure::usage(format!("`--cache-rules {shown}` cannot be read: {error}")))?;
        let more = CacheRules::parse(&text)
            .map_err(|invalid| Failure::usage(format!("`--cache-rules {shown}`: {invalid}")))?;
        rules = rules.with_rules(more);
    }
    let mut edge = EdgeConfig::new(origin)
        .with_listen(args.edge_listen)
        .with_rules(rules)
        .with_purge_delay(Duration::from_secs_f64(args.purge_delay.unwrap_or_default()));
    if let Some(bytes) = args.max_object {
        edge = edge.with_max_object(bytes);
    }
    Ok(edge)
}

/// Returns whether a pattern of `--cache` can match a host and path of the zone: its name or one below it, and a path.
fn can_match(pattern: &str, zone_name: &str) -> bool {
    // A `*` also stands for a slash.
    let Some((host, _)) = pattern.split_once('/') else { return pattern.contains('*') };
    let (host, zone) = (host.to_ascii_lowercase(), &*domain::ascii(zone_name));
    match host.rsplit_once('*') {
        // Only the text behind the last `*` is compared, because it stands for anything. With a dot, it is meant as
        // the end of a host.
        Some((_, end)) => {
            !end.starts_with('.')
                || zone.ends_with(end)
                || end.strip_suffix(zone).is_some_and(|below| below.ends_with('.'))
        }
        None => host.strip_suffix(zone).is_some_and(|below| below.is_empty() || below.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_for_the_cache_are_compared_with_the_zone() {
        for (pattern, zone, expected) in [
            ("example.com/*", "example.com", true),
            ("www.EXAMPLE.com/", "Example.com.", true),
            ("www.example.com", "example.com", false),
            ("*.html", "example.com", true),
            ("www*.jpg", "example.com", true),
            ("*images/*", "example.com", true),
            ("*.example.com/a", "example.com", true),
            ("*example.com/a", "example.com", true),
            ("*.com/a", "example.com", true),
            ("www.*/a", "example.com", true),
            ("*", "example.com", true),
            ("xn--bcher-kva.example/*", "B\u{fc}cher.example", true),
            ("other.com/*", "example.com", false),
            ("notexample.com/*", "example.com", false),
            ("*.other.com/*", "example.com", false),
            ("*.notexample.com/*", "example.com", false),
            ("com/*", "example.com", false),
        ] {
            assert_eq!(can_match(pattern, zone), expected, "{pattern} {zone}");
        }
    }
}

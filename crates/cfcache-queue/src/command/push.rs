//! The command `push`: puts lists into the queue. It uses the parser of `cfcache`.

use std::time::Duration;

use cfcache_app::config::{EnvVars, ZONE_ID};
use cfcache_app::console::Console as _;
use cfcache_app::domain;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_app::job::Targets;
use cfcache_app::secret::shown;
use cfcache_app::source::{Chunk, Sources};
use cfcache_app::wording;
use cfcache_model::endpoint::Action;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_queue::{MAX_AGE, NewRequest, Subject};
use tokio::runtime::Runtime;

use crate::args::{PushArgs, PushCommon};
use crate::command::{COMMAND_CONNECTIONS, QueuePlace, store_failure};
use crate::console::Terminal;

pub(super) fn run(
    args: PushArgs,
    place: &QueuePlace,
    environment: &EnvVars,
    runtime: &Runtime,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let (kind, common, list) = args.what.into_parts();
    let template = template(&common, environment)?;
    let (Some(kind), Some(list)) = (kind, list) else {
        let store = place.open(runtime, COMMAND_CONNECTIONS)?;
        runtime.block_on(store.insert(&[template])).map_err(store_failure)?;
        terminal.data("1 request stored");
        return Ok(Exit::Accepted);
    };
    if list.entries.is_empty() && list.from.is_empty() {
        let nouns = wording::plural(kind);
        return Err(Failure::usage(format!("no {nouns} given; an empty list does not mean everything"))
            .with_hint(format!("give {nouns} as arguments, or `--from FILE` (`-` is standard input)")));
    }
    let targets = Targets {
        action: Some(template.action),
        kind,
        arguments: list.entries,
        files: list.from,
        headers: Vec::new(),
        skips_invalid: list.on_invalid == "skip",
        sitemaps: Vec::new(),
        base: None,
        null: list.null,
        strict: false,
    };
    let sources = Sources::open(targets, false, terminal)?;
    let store = place.open(runtime, COMMAND_CONNECTIONS)?;
    let stops = sources.stops_at_invalid();
    let (mut stored, mut exit, mut failure) = (0_u64, Exit::Accepted, None);
    sources.read(&mut |chunk: Chunk| {
        exit = exit.or(chunk.tell(terminal));
        // Input that can be read only once is stored up to the first invalid entry, so every entry here comes before
        // that one.
        let requests: Vec<NewRequest> = chunk
            .entries
            .iter()
            .map(|entry| NewRequest { subject: Subject::Target(entry.target.clone()), ..template.clone() })
            .collect();
        match runtime.block_on(store.insert(&requests)) {
            Ok(()) => stored += requests.len() as u64,
            Err(error) => {
                let hint = match stored {
                    0 => "it is unknown whether anything was stored; run the command again".to_owned(),
                    _ => format!(
                        "the first entries ({}) are stored; it is unknown whether any of the rest are; run the whole \
                         command again: some entries may be purged twice",
                        kind.count(stored)
                    ),
                };
                failure = Some(store_failure(error).with_hint(hint));
            }
        }
        if failure.is_none()
            && stops
            && let Some(invalid) = chunk.invalid.first()
        {
            let what = match stored {
                0 => "nothing was stored".to_owned(),
                _ => format!("only the entries before it ({}) were stored", kind.count(stored)),
            };
            let stopped = Failure::usage(format!("stopped at {}: {what}", invalid.origin));
            failure = Some(stopped.with_hint(
                "correct it and continue from there, or skip invalid entries with `--on-invalid skip`",
            ));
        }
        failure.is_none()
    });
    if stored == 0 && exit == Exit::Accepted && failure.is_none() {
        return Err(cfcache_app::source::empty(kind));
    }
    terminal.data(&format!(
        "{} stored",
        if stored == 1 { "1 request".to_owned() } else { format!("{stored} requests") }
    ));
    failure.map_or(Ok(exit), Err)
}

/// Returns a request for everything with the common options. The request of each entry is a copy of it.
fn template(common: &PushCommon, environment: &EnvVars) -> Result<NewRequest, Failure> {
    let Some(zone) = common.zone.as_ref().or(environment.zone.as_ref()) else {
        return Err(Failure::usage("no zone").with_hint(format!("name it with `--zone`, or set `{ZONE_ID}`")));
    };
    let zone = zone.trim();
    let (is_id, name) = (ZoneId::parse(zone).is_ok() && !zone.contains('.'), domain::ascii(zone));
    if !is_id && !name.contains('.') {
        return Err(Failure::usage(format!("{} is neither a zone's id nor a domain", shown(zone))));
    }
    if let Some(environment) = &common.environment {
        EnvironmentId::parse(environment)
            .map_err(|invalid| Failure::usage(format!("`--environment`: {invalid}")))?;
    }
    let delay = Duration::try_from_secs_f64(common.delay).ok().filter(|delay| *delay <= MAX_AGE);
    let Some(delay) = delay else {
        return Err(Failure::usage("`--delay` is a number of seconds, and at most a day"));
    };
    Ok(NewRequest {
        zone: if is_id { zone.to_owned() } else { name },
        environment: common.environment.clone(),
        action: if common.invalidate { Action::Invalidate } else { Action::Purge },
        subject: Subject::Everything,
        priority: common.priority,
        delay,
        source: Some("push".to_owned()),
        event: None,
    })
}

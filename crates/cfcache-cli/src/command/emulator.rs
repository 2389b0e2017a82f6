//! `emulator`

use core::time::Duration;

use cfcache_client::Credentials;
use cfcache_emulator::{Config, Emulator, LimitMode, LogRetention, Token, TokenState, Zone};
use cfcache_model::target::Host;
use cfcache_model::{Plan, ZoneId};

use crate::args::{EmulatorArgs, TokenStateArg};
use crate::command::Interrupts;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;

/// Serves the API until it is interrupted.
pub(crate) async fn serve(
    args: EmulatorArgs,
    plan: Plan,
    limits: bool,
    talk: &Talk,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    if !args.listen.ip().is_loopback() {
        talk.warn("the emulator listens beyond this machine; it is no API, and takes any token");
    }
    // What no path can hold, or no name of a zone can be, would be served and never found.
    ZoneId::parse(&args.zone_id).map_err(|invalid| Failure::usage(format!("`--zone-id`: {invalid}")))?;
    Host::parse(&args.zone_name).map_err(|invalid| Failure::usage(format!("`--zone-name`: {invalid}")))?;
    let who = match args.token {
        Some(_) => "only the token of `--token` is accepted",
        None => "any token of a valid form is accepted",
    };
    let about = format!("its zone is {} ({}), on the plan {plan}; {who}", args.zone_name, args.zone_id);
    let mut config = Config::new(plan)
        .with_zone(Zone::new(args.zone_id, args.zone_name))
        .with_limits(if limits { LimitMode::Kept } else { LimitMode::Off })
        .with_clear_time(Duration::from_secs_f64(args.clear_seconds))
        // It may run for days, and nobody here reads what it received.
        .with_log_retention(LogRetention::Counts);
    if let Some(token) = args.token {
        // No client could send another.
        Credentials::token(token.as_str().into())
            .map_err(|invalid| Failure::usage(format!("`--token`: {invalid}")))?;
        config = config.with_token(Token::new(token).with_state(match args.token_state {
            TokenStateArg::Active => TokenState::Active,
            TokenStateArg::Disabled => TokenState::Disabled,
            TokenStateArg::Expired => TokenState::Expired,
            TokenStateArg::NotYetValid => TokenState::NotYetValid,
        }));
    }
    for fault in &args.faults {
        let fault =
            fault.parse().map_err(|invalid| Failure::usage(format!("`--fault {fault}`: {invalid}")))?;
        config = config.with_fault(fault);
    }
    let running = Emulator::start(config, args.listen)
        .await
        .map_err(|error| Failure::usage(format!("cannot listen on {}: {error}", args.listen)))?;
    talk.data(&format!("listening on {}", running.base_url()));
    // Who starts it waits for this line, and would wait for ever.
    if talk.settle(Exit::Accepted) != Exit::Accepted {
        running.stop().await;
        return Ok(Exit::Failed);
    }
    talk.note(&about);
    interrupts.nth(1).await;
    running.stop().await;
    Ok(Exit::Accepted)
}

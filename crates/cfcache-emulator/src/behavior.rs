//! What each endpoint does.
//!
//! An endpoint that changes or remembers something has an arm in [`answer`]. One that has none answers with the model's
//! samples: with the one whose request is the same, else with the first that succeeds.

mod purge;
mod token;
mod zones;

use core::time::Duration;

use bytes::Bytes;
use cfcache_model::endpoint::Action;
use serde_json::Value;

use crate::answer::Answer;
use crate::auth::{self, Caller};
use crate::config::Config;
use crate::limit::Draw;
use crate::route::Route;
use crate::world::{World, Zone};

/// A request that found its endpoint, and whose caller may use it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) now: Duration,
    pub(crate) route: &'a Route,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a Bytes,
    pub(crate) caller: Caller<'a>,
    pub(crate) config: &'a Config,
}

/// What an endpoint wants to do.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Answer, and no more.
    Answer(Answer),
    /// Purge, if the limits let it.
    Purge(purge::Accepted),
}

/// Decides what to do; nothing is done yet.
pub(crate) fn plan(world: &World, call: &Call<'_>) -> Plan {
    let zone = match call.route.argument("zone_id") {
        None => None,
        Some(id) => match world.zone(id) {
            Some(zone) => Some(zone),
            // A zone that does not exist looks like one that the token may not see.
            None => return Plan::Answer(auth::forbidden(call.route.endpoint)),
        },
    };
    match (call.route.endpoint.name, zone) {
        ("purge_zone_cache" | "purge_environment_cache", Some(zone)) => purge(call, zone, Action::Purge),
        ("invalidate_zone_cache" | "invalidate_environment_cache", Some(zone)) => {
            purge(call, zone, Action::Invalidate)
        }
        ("list_zones", None) => Plan::Answer(zones::list(world, call)),
        ("get_zone", Some(zone)) => Plan::Answer(zones::get(zone, call.config.plan)),
        ("list_environments", Some(zone)) => Plan::Answer(zones::environments(zone)),
        ("verify_token" | "verify_account_token", None) => Plan::Answer(token::verify(call)),
        _ => Plan::Answer(by_sample(call)),
    }
}

/// Does what was planned, and what the limits cannot refuse any more.
pub(crate) fn carry_out(world: &mut World, accepted: purge::Accepted) -> Answer {
    purge::carry_out(world, accepted)
}

fn purge(call: &Call<'_>, zone: &Zone, action: Action) -> Plan {
    match purge::check(call, zone, action) {
        Ok(accepted) => Plan::Purge(accepted),
        Err(refusal) => Plan::Answer(refusal),
    }
}

impl purge::Accepted {
    /// Nothing but the limits stands in its way; this is what it takes of them.
    pub(crate) fn draw(&self) -> Draw {
        self.draw
    }
}

/// Answers with a sample of the model.
fn by_sample(call: &Call<'_>) -> Answer {
    let samples = (call.route.endpoint.samples)();
    let body: Option<Value> = serde_json::from_slice(call.body).ok();
    let same_body = |text: Option<&str>| {
        text.map_or(body.is_none(), |text| serde_json::from_str::<Value>(text).ok() == body)
    };
    let good = || samples.iter().filter(|sample| (200..300).contains(&sample.status));
    good()
        .find(|sample| same_body(sample.request.body.as_deref()))
        .or_else(|| good().next())
        .map_or_else(|| Answer::success("null"), Answer::sample)
}

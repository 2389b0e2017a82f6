//! `purge` and `invalidate`

mod auto_plan;
mod background;
pub(super) mod bulk;
pub(super) mod changed;
pub(super) mod dry_run;
pub(super) mod everything;
mod input;
pub(super) mod routed;

use cfcache_model::Plan;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::Kind;

pub(super) use crate::command::purge::dry_run::{ZONE_STAND_IN, shown};
use crate::command::{Interrupts, scope};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;
use crate::render::outcome::print;
use crate::report::Report;
use crate::resolve::{Connection, Scope, ZoneRef};
use crate::secret::bare;
use crate::session::Session;
use crate::source;

/// Where to purge, once that is looked up.
struct Place {
    zone: ZoneId,
    environment: Option<EnvironmentId>,
    /// The plan of the zone, where it was seen on the way.
    plan: Option<Plan>,
}

impl Place {
    async fn find(
        session: &Session,
        scope: &Scope,
        talk: &Talk,
        interrupts: &Interrupts,
    ) -> Result<Self, Failure> {
        tokio::select! {
            place = Self::look_up(session, scope, talk) => place,
            () = interrupts.nth(1) => Err(interrupted()),
        }
    }

    async fn look_up(session: &Session, scope: &Scope, talk: &Talk) -> Result<Self, Failure> {
        let (zone, found) = scope::find_zone(&session.client, &scope.zone, talk).await?;
        let environment = match &scope.environment {
            Some(environment) => Some(scope::environment(&session.client, &zone, environment, talk).await?),
            None => None,
        };
        Ok(Self { zone, environment, plan: found.as_ref().and_then(auto_plan::plan_of) })
    }

    /// An empty report of what is done there.
    fn report(&self, operation: &'static str, kind: &'static str) -> Report {
        let environment = self.environment.as_ref().map(ToString::to_string);
        Report::new(operation, kind, Some(self.zone.to_string()), environment)
    }
}

/// Whose limits a run is paced by.
#[derive(Clone, Copy)]
struct Pacing {
    /// The plan that was named, or seen.
    plan: Option<Plan>,
    /// Is the plan to be asked for, if that matters?
    learns_plan: bool,
}

impl Pacing {
    /// Paces by the plan that was named, else by the one that was seen, else by the smallest.
    fn begin(session: &Session, connection: &Connection, seen: Option<Plan>) -> Self {
        if connection.pacing
            && connection.plan.is_none()
            && let Some(plan) = seen
        {
            session.client.set_limits(plan.purge_limits());
        }
        let plan = connection.plan.or(seen);
        Self { plan, learns_plan: connection.pacing && plan.is_none() }
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was sent")
}

/// The limits of a plan; of free, where it is not known.
fn limits(plan: Option<Plan>) -> PurgeLimits {
    plan.unwrap_or(Plan::Free).purge_limits()
}

/// How much a request may hold: what the plan allows, unless something else is wanted.
fn caps(plan: Option<Plan>, kind: Kind, batch_size: Option<usize>, talk: &Talk) -> BatchLimits {
    let cap = BatchLimits::from_plan(limits(plan), kind);
    let Some(batch_size) = batch_size else { return cap };
    if batch_size > cap.items {
        let name = plan.unwrap_or(Plan::Free);
        let whose = match plan {
            Some(_) => format!("the plan `{name}` allows"),
            None => format!("no plan is named, and `{name}` allows"),
        };
        talk.warn(&format!(
            "`--batch-size {batch_size}`: {whose} at most {} a request; what the API refuses for that is sent again in \
             halves",
            kind.count(cap.items as u64),
        ));
    }
    BatchLimits::new(batch_size)
}

pub(super) fn describe_zone(zone: &ZoneRef) -> String {
    match zone {
        ZoneRef::Id(id) => format!("zone {id}"),
        ZoneRef::Domain(domain) => format!("zone {}", bare(domain)),
    }
}

/// Says that there was nothing, where there was not even something invalid.
fn empty(kind: Kind) -> Failure {
    source::empty(kind)
}

//! Where entries go: to one zone, or each to the zone of its host.

use cfcache_client::{ErrorKind, PurgeScope};
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, ApiRequest, PurgeCache, Zone};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::Kind;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{Destination, Scope};
use crate::observe::show_events;
use crate::purge::interrupted;
use crate::report::Report;
use crate::route::Routes;
use crate::session::Session;
use crate::{pages, scope};

/// A zone and perhaps an environment, once they are looked up.
pub(super) struct ResolvedScope {
    pub(super) zone: ZoneId,
    pub(super) environment: Option<EnvironmentId>,
    /// The plan of the zone, if it is known from a lookup.
    pub(super) plan: Option<Plan>,
}

impl ResolvedScope {
    /// Looks up zone and environment if they are given by name.
    ///
    /// # Errors
    ///
    /// If there is no such zone or environment, or if the token may not look it up.
    pub(super) async fn find(
        session: &Session,
        scope: &Scope,
        console: &dyn Console,
    ) -> Result<Self, Failure> {
        tokio::select! {
            place = Self::look_up(session, scope, console) => place,
            () = console.interrupted(1) => Err(interrupted()),
        }
    }

    async fn look_up(session: &Session, scope: &Scope, console: &dyn Console) -> Result<Self, Failure> {
        let (zone, found) = scope::find_zone(&session.client, &scope.zone, console).await?;
        let environment = match &scope.environment {
            Some(environment) => {
                Some(scope::environment(&session.client, &zone, environment, console).await?)
            }
            None => None,
        };
        Ok(Self { zone, environment, plan: found.as_ref().and_then(Zone::known_plan) })
    }

    /// The request for a body.
    pub(super) fn request<'a>(&'a self, action: Action, body: &'a PurgeBody) -> PurgeCache<'a> {
        let request = PurgeCache::new(action, &self.zone, body);
        match &self.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        }
    }

    /// An empty report for this scope.
    pub(super) fn report(&self, operation: &'static str, kind: &'static str) -> Report {
        let environment = self.environment.as_ref().map(ToString::to_string);
        Report::new(operation, kind, Some(self.zone.to_string()), environment)
    }
}

/// The scopes of entries, after they were looked up.
pub(super) enum FoundScopes {
    /// One zone.
    Zone(ResolvedScope),
    /// For each entry the zone of its host. All share one rate limit: that of the smallest plan, if zones were listed.
    Hosts(Routes, Option<Plan>),
}

impl FoundScopes {
    /// Looks up the zone if it is given by name, or lists the zones if none is given.
    ///
    /// # Errors
    ///
    /// The same as [`ResolvedScope::find`].
    pub(super) async fn find(
        session: &Session,
        destination: &Destination,
        console: &dyn Console,
    ) -> Result<Self, Failure> {
        match destination {
            Destination::Zone(scope) => ResolvedScope::find(session, scope, console).await.map(Self::Zone),
            Destination::Hosts(zones) if zones.is_empty() => tokio::select! {
                listed = list_zones(session, console) => listed.map(|(routes, plan)| Self::Hosts(routes, plan)),
                () = console.interrupted(1) => Err(interrupted()),
            },
            Destination::Hosts(zones) => Ok(Self::Hosts(Routes::new(zones.clone()), None)),
        }
    }

    /// The plan that was seen on the way.
    pub(super) const fn plan(&self) -> Option<Plan> {
        match self {
            Self::Zone(place) => place.plan,
            Self::Hosts(_, plan) => *plan,
        }
    }

    /// The zone of each entry; `None` if there is one zone.
    pub(super) const fn routes(&self) -> Option<&Routes> {
        match self {
            Self::Zone(_) => None,
            Self::Hosts(routes, _) => Some(routes),
        }
    }

    /// An empty report for this scope.
    pub(super) fn report(&self, action: Action, kind: Kind) -> Report {
        match self {
            Self::Zone(place) => place.report(action.verb(), kind.field()),
            Self::Hosts(..) => Report::new(action.verb(), kind.field(), None, None),
        }
    }

    /// The scope of each zone.
    pub(super) fn purge_scopes(&self, action: Action, kind: Kind, limits: BatchLimits) -> Vec<PurgeScope> {
        match self {
            Self::Zone(place) => {
                let scope = PurgeScope::new(action, place.zone.clone(), kind, limits);
                vec![scope.with_environment(place.environment.clone())]
            }
            Self::Hosts(routes, _) => {
                routes.zones().map(|zone| PurgeScope::new(action, zone.clone(), kind, limits)).collect()
            }
        }
    }
}

/// Lists the zones that the token may read, and their smallest plan, because all share one rate limit.
async fn list_zones(session: &Session, console: &dyn Console) -> Result<(Routes, Option<Plan>), Failure> {
    let zones = pages::all(async |page| {
        session.client.call(&ApiRequest::zones(page), &mut show_events(console)).await
    })
    .await
    .map_err(|error| {
        let failure = Failure::from_error(
            &error,
            "no zone is given, and the zones cannot be listed to find the zone of each host",
        );
        match error.kind() {
            ErrorKind::Credentials if !scope::is_unknown(&error) => failure.with_hint(
                "give the zone with `--zone`, or list domains and ids in `[zones]` of the configuration: a \
                     token that may only purge cannot look a zone up",
            ),
            _ => failure,
        }
    })?;
    let plan = zones.result.iter().map(Zone::known_plan).min().flatten();
    let known = zones.result.into_iter().filter_map(|zone| Some((zone.name, ZoneId::parse(&zone.id).ok()?)));
    let routes = Routes::new(known);
    if routes.is_empty() {
        Err(Failure::new(Exit::Failed, "no zone is given, and the token can see none")
            .with_hint(scope::SEES_NONE))
    } else {
        Ok((routes, plan))
    }
}

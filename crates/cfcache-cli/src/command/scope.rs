//! From a domain and a name to ids.

use cfcache_client::{Client, Error, ErrorKind};
use cfcache_model::endpoint::{ListEnvironments, ListZones, Zone};
use cfcache_model::id::{EnvironmentId, ZoneId};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::observe::Trace;
use crate::render::Talk;
use crate::resolve::{EnvironmentRef, ZoneRef};

/// The id of a zone; a domain is looked up.
///
/// # Errors
///
/// [`Failure`] where there is no such zone, several, or the token may not look.
pub(crate) async fn zone(client: &Client, zone: &ZoneRef, talk: &Talk) -> Result<ZoneId, Failure> {
    find_zone(client, zone, talk).await.map(|(id, _)| id)
}

/// The id of a zone, and the zone itself where it was looked up for that.
///
/// # Errors
///
/// As with [`zone`].
pub(crate) async fn find_zone(
    client: &Client,
    zone: &ZoneRef,
    talk: &Talk,
) -> Result<(ZoneId, Option<Zone>), Failure> {
    let domain = match zone {
        ZoneRef::Id(id) => return Ok((id.clone(), None)),
        ZoneRef::Domain(domain) => domain,
    };
    let answer = client
        .call(&ListZones::named(domain), &mut Trace(talk))
        .await
        .map_err(|error| cannot_look_up(&error, domain))?;
    match answer.result.as_slice() {
        [one] => match ZoneId::parse(&one.id) {
            Ok(id) => Ok((id, Some(one.clone()))),
            Err(invalid) => Err(Failure::new(
                Exit::Failed,
                format!("the API gives `{domain}` an id that is none: {invalid}"),
            )),
        },
        [] => Err(Failure::new(Exit::Failed, format!("there is no zone `{domain}` that the token may see"))
            .with_hint(parent_hint(domain))),
        several => {
            let mut failure =
                Failure::new(Exit::Failed, format!("there are {} zones named `{domain}`", several.len()));
            for zone in several {
                failure = failure.with_cause(format!("{} {}", zone.id, zone.status.as_deref().unwrap_or("")));
            }
            Err(failure.with_hint("name the one that is meant by its id"))
        }
    }
}

fn cannot_look_up(error: &Error, domain: &str) -> Failure {
    let failure = Failure::of(error, format!("cannot look up the zone `{domain}`"));
    match error.kind() {
        ErrorKind::Credentials if is_unknown(error) => failure.with_hint(
            "check the token with `cfcache token verify`; looking a zone up needs the permission \"Zone Read\" \
             besides, and giving its id needs none",
        ),
        ErrorKind::Credentials => failure.with_hint(
            "looking a zone up needs the permission \"Zone Read\", which a token that may only purge lacks: \
             give the zone's id instead (dashboard, Overview, API)",
        ),
        _ => failure,
    }
}

/// Is it the token itself that is refused, and not what it may do?
pub(crate) fn is_unknown(error: &Error) -> bool {
    error.failure().is_some_and(|failure| failure.status == 401)
}

/// A host is often given where its zone is meant.
fn parent_hint(domain: &str) -> String {
    match domain.split_once('.') {
        Some((_, parent)) if parent.contains('.') => {
            format!("a zone is named by its own domain: is `{parent}` meant?")
        }
        _ => "`cfcache zones list` shows those that it may see".to_owned(),
    }
}

/// The id of an environment; a name is looked up.
///
/// # Errors
///
/// [`Failure`] where there is no such environment, several, or the token may not look.
pub(crate) async fn environment(
    client: &Client,
    zone: &ZoneId,
    environment: &EnvironmentRef,
    talk: &Talk,
) -> Result<EnvironmentId, Failure> {
    let name = match environment {
        EnvironmentRef::Id(id) => return Ok(id.clone()),
        EnvironmentRef::Name(name) => name,
    };
    let answer = client.call(&ListEnvironments::new(zone), &mut Trace(talk)).await.map_err(|error| {
        let failure = Failure::of(&error, format!("cannot look up the environment `{name}`"));
        match error.kind() {
            ErrorKind::Credentials if !is_unknown(&error) => failure.with_hint(
                "looking an environment up needs the permission \"Zone Versioning Read\": give its id instead",
            ),
            _ => failure,
        }
    })?;
    let environments = answer.result.environments;
    let matching: Vec<_> =
        environments.iter().filter(|known| known.name.eq_ignore_ascii_case(name)).collect();
    match matching.as_slice() {
        [one] => {
            if one.name.eq_ignore_ascii_case("production") {
                talk.warn("Production is purged through the zone: what this does is not documented; leave out `--environment`");
            }
            EnvironmentId::parse(&one.id).map_err(|invalid| {
                Failure::new(Exit::Failed, format!("the API gives `{name}` an id that is none: {invalid}"))
            })
        }
        [] => {
            let names: Vec<_> = environments.iter().map(|known| format!("`{}`", known.name)).collect();
            Err(Failure::new(Exit::Failed, format!("the zone has no environment `{name}`"))
                .with_hint(format!("it has {}", names.join(", "))))
        }
        _ => Err(Failure::new(Exit::Failed, format!("the zone has several environments named `{name}`"))
            .with_hint("name the one that is meant by its id (`cfcache environments list`)")),
    }
}

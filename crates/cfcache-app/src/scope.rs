//! Looks up zones and environments by name.

use cfcache_client::{Client, Error, ErrorKind, Observer};
use cfcache_model::endpoint::{ApiRequest, Zone};
use cfcache_model::id::{EnvironmentId, ZoneId};

use crate::console::Console;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::IdOrName;
use crate::observe::show_events;
use crate::secret::shown;

/// Returns the id of a zone; a domain is looked up.
///
/// # Errors
///
/// [`Failure`] if there is no such zone, if there are several, or if the token may not look it up.
pub async fn zone(
    client: &Client,
    zone: &IdOrName<ZoneId>,
    console: &dyn Console,
) -> Result<ZoneId, Failure> {
    find_zone(client, zone, console).await.map(|(id, _)| id)
}

/// Returns the id of a zone, and the zone itself if it was looked up.
///
/// # Errors
///
/// The same as [`zone`].
pub async fn find_zone(
    client: &Client,
    zone: &IdOrName<ZoneId>,
    console: &dyn Console,
) -> Result<(ZoneId, Option<Zone>), Failure> {
    let domain = match zone {
        IdOrName::Id(id) => return Ok((id.clone(), None)),
        IdOrName::Name(domain) => domain,
    };
    let zones = zones_named(client, domain, &mut show_events(console), |odd| console.warn(odd)).await;
    let zones = zones.map_err(|error| cannot_look_up(&error, domain))?;
    let name = shown(domain);
    match zones.as_slice() {
        [one] => match ZoneId::parse(&one.id) {
            Ok(id) => Ok((id, Some(one.clone()))),
            Err(invalid) => Err(Failure::new(
                Exit::Failed,
                format!("the API returned an invalid id for {name}: {invalid}"),
            )),
        },
        [] => Err(Failure::new(Exit::Failed, format!("there is no zone {name} that the token can see"))
            .with_hint(unseen_hint(client, domain, console).await)),
        several => {
            let mut failure =
                Failure::new(Exit::Failed, format!("there are {} zones named {name}", several.len()));
            for zone in several {
                failure = failure.with_cause(format!("{} {}", zone.id, zone.status.as_deref().unwrap_or("")));
            }
            Err(failure.with_hint("choose one by its id"))
        }
    }
}

/// Returns the zones with that name. The API lists names in Unicode, and finds nothing for the form with `xn--`, so
/// both are requested. A zone with another name is ignored, and `warn` gets a message.
///
/// # Errors
///
/// The error of the API call.
pub async fn zones_named(
    client: &Client,
    domain: &str,
    observer: &mut impl Observer,
    warn: impl Fn(&str),
) -> Result<Vec<Zone>, Error> {
    let (ascii, unicode) = (domain::ascii(domain), domain::unicode(domain));
    let mut zones: Vec<Zone> = Vec::new();
    for (index, name) in [&unicode, &ascii].into_iter().enumerate() {
        if index > 0 && (ascii == unicode || !zones.is_empty()) {
            break;
        }
        let answer = client.call(&ApiRequest::zones_named(name), observer).await?;
        for zone in answer.result {
            if domain::ascii(&zone.name) == ascii {
                zones.push(zone);
            } else {
                warn(&format!(
                    "the API was asked for the zone {} and returned {}, which is ignored",
                    shown(name),
                    shown(&zone.name)
                ));
            }
        }
    }
    Ok(zones)
}

/// A suggestion if there is no zone with that name: the token can see no zones at all, or a host was given instead of
/// its zone.
async fn unseen_hint(client: &Client, domain: &str, console: &dyn Console) -> String {
    let page = match client.call(&ApiRequest::zones(1), &mut show_events(console)).await {
        Ok(page) if page.result.is_empty() => return SEES_NONE.to_owned(),
        Ok(page) => page.result,
        Err(_) => Vec::new(),
    };
    let host = domain::ascii(domain);
    let is_above = |zone: &&Zone| host.ends_with(&format!(".{}", domain::ascii(&zone.name)));
    match page.iter().filter(is_above).max_by_key(|zone| zone.name.len()) {
        Some(parent) => format!("give the domain of the zone itself: did you mean {}?", shown(&parent.name)),
        None => "`cfcache zones list` shows the zones that it can see".to_owned(),
    }
}

/// A token without a permission to read zones gets an empty list and no error.
pub const SEES_NONE: &str = "the token can see no zones: without the permission \"Zone Read\" the list is \
     empty. Give the zone's id instead (dashboard, Overview, API), which a token that may only purge can use";

fn cannot_look_up(error: &Error, domain: &str) -> Failure {
    let failure = Failure::from_error(error, format!("cannot look up the zone {}", shown(domain)));
    match error.kind() {
        ErrorKind::Credentials if is_unknown(error) => failure.with_hint(
            "check the token with `cfcache token verify`; looking up a zone needs the permission \"Zone Read\" \
             besides, and giving its id needs none",
        ),
        ErrorKind::Credentials => failure.with_hint(
            "looking up a zone needs the permission \"Zone Read\", which a token that may only purge lacks: \
             give the zone's id instead (dashboard, Overview, API)",
        ),
        _ => failure,
    }
}

/// Returns whether the token itself is refused, and not only what it may do.
pub fn is_unknown(error: &Error) -> bool {
    error.failure().is_some_and(|failure| failure.status == 401)
}

/// Returns the id of an environment; a name is looked up.
///
/// # Errors
///
/// [`Failure`] if there is no such environment, if there are several, or if the token may not look it up.
pub async fn environment(
    client: &Client,
    zone: &ZoneId,
    environment: &IdOrName<EnvironmentId>,
    console: &dyn Console,
) -> Result<EnvironmentId, Failure> {
    let name = match environment {
        IdOrName::Id(id) => return Ok(id.clone()),
        IdOrName::Name(name) => name,
    };
    let answer = client.call(&ApiRequest::environments(zone), &mut show_events(console)).await.map_err(|error| {
        let failure = Failure::from_error(&error, format!("cannot look up the environment {}", shown(name)));
        match error.kind() {
            ErrorKind::Credentials if !is_unknown(&error) => failure.with_hint(
                "looking up an environment needs the permission \"Zone Versioning Read\": give its id instead",
            ),
            _ => failure,
        }
    })?;
    let environments = answer.result.environments;
    let matching: Vec<_> = environments.iter().filter(|known| is_same_name(&known.name, name)).collect();
    match matching.as_slice() {
        [one] => {
            if is_production(&one.name) {
                console.warn("the effect of purging the Production environment is not documented; purge the zone instead, without `--environment`");
            }
            EnvironmentId::parse(&one.id).map_err(|invalid| {
                let name = shown(name);
                Failure::new(Exit::Failed, format!("the API returned an invalid id for {name}: {invalid}"))
            })
        }
        [] => {
            let names: Vec<_> = environments.iter().map(|known| shown(&known.name).to_string()).collect();
            let failure = Failure::new(Exit::Failed, format!("the zone has no environment {}", shown(name)));
            Err(failure.with_hint(if names.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", names.join(", "))
            }))
        }
        _ => Err(Failure::new(
            Exit::Failed,
            format!("the zone has several environments named {}", shown(name)),
        )
        .with_hint("choose one by its id (`cfcache environments list`)")),
    }
}

/// Returns whether two names mean the same environment; case-insensitive, because the dashboard capitalizes names.
fn is_same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Returns whether an environment is the production environment.
pub fn is_production(name: &str) -> bool {
    is_same_name(name, "production")
}

/// Returns whether an environment is, or may be, the production environment. For an id, the environments are listed; if
/// that fails, it may be.
pub async fn may_be_production(
    client: &Client,
    zone: &ZoneId,
    environment: &IdOrName<EnvironmentId>,
    console: &dyn Console,
) -> bool {
    match environment {
        IdOrName::Name(name) => is_production(name),
        IdOrName::Id(id) => {
            match client.call(&ApiRequest::environments(zone), &mut show_events(console)).await {
                Ok(answer) => {
                    let known = answer.result.environments.iter().find(|known| known.id == id.as_str());
                    known.is_none_or(|known| is_production(&known.name))
                }
                Err(_) => true,
            }
        }
    }
}

//! Parses the settings for zones and environments, without looking anything up.

use cfcache_model::InvalidInput;
use cfcache_model::endpoint::example::ZONE_ID as EXAMPLE_ZONE_ID;
use cfcache_model::id::{AccountId, EnvironmentId, ZoneId};

use crate::config::{ACCOUNT_ID, API_TOKEN, EnvVars, Settings, Sourced, ValueOrigin, ZONE_ID};
use crate::console::Console;
use crate::domain;
use crate::failure::Failure;
use crate::job::{Destination, IdOrName, Scope};
use crate::secret::{may_be_secret, shown};

impl Settings {
    /// Returns the configured zone. Warns about an id of an unusual form.
    ///
    /// # Errors
    ///
    /// [`Failure`] if none is set, or if it is neither an id nor a domain. An emulator needs no zone.
    pub fn parse_zone(
        &self,
        environment: &EnvVars,
        console: &dyn Console,
    ) -> Result<IdOrName<ZoneId>, Failure> {
        let Some(Sourced { value, origin }) = &self.zone else {
            if self.emulator
                && let Ok(zone) = ZoneId::parse(EXAMPLE_ZONE_ID)
            {
                return Ok(IdOrName::Id(zone));
            }
            let mut failure = Failure::usage("no zone given")
                .with_hint(format!("name it with `--zone ID|DOMAIN`, or set `{ZONE_ID}`"));
            failure.causes = environment.unread(&[ZONE_ID]);
            return Err(failure);
        };
        let zone = value.trim();
        // A domain contains a dot, an id does not.
        if zone.contains('.') {
            let domain = parse_domain(zone, origin)?;
            return match self.zones.get(&domain::ascii(&domain)) {
                Some(id) => {
                    self.warn_if_odd(id, &mapped(&domain), console);
                    Ok(IdOrName::Id(id.clone()))
                }
                None => Ok(IdOrName::Name(domain)),
            };
        }
        let id = ZoneId::parse(zone).map_err(|invalid| {
            let failure = not_an_id(origin, zone, &invalid);
            if failure.hint.is_some() {
                return failure;
            }
            failure.with_hint("give the zone's id, or its domain, such as `example.com`")
        })?;
        self.warn_if_odd(&id, &origin.to_string(), console);
        Ok(IdOrName::Id(id))
    }

    /// Returns the configured environment. Ids of environments are hex words of about thirty digits; everything else is
    /// a name.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is empty, or looks like an id but is not one.
    pub fn parse_environment(&self) -> Result<Option<IdOrName<EnvironmentId>>, Failure> {
        let Some(Sourced { value, origin }) = &self.environment else { return Ok(None) };
        if value.trim().is_empty() {
            return Err(Failure::usage(format!("{origin}: the environment is empty")).with_hint(
                "omit it to purge the zone, or name an environment (`cfcache environments list`)",
            ));
        }
        let is_id = value.len() >= 20 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Ok(Some(IdOrName::Name(value.clone())));
        }
        match EnvironmentId::parse(value) {
            Ok(id) => Ok(Some(IdOrName::Id(id))),
            Err(invalid) => Err(not_an_id(origin, value, &invalid)),
        }
    }

    /// Returns the zone that is set, and the environment of it.
    ///
    /// # Errors
    ///
    /// As with [`Settings::parse_zone`] and [`Settings::parse_environment`].
    pub fn parse_scope(&self, environment: &EnvVars, console: &dyn Console) -> Result<Scope, Failure> {
        Ok(Scope { zone: self.parse_zone(environment, console)?, environment: self.parse_environment()? })
    }

    /// Returns the destination of entries with a host: the configured zone, otherwise the zone of each host.
    ///
    /// # Errors
    ///
    /// The same as [`Settings::parse_scope`]; also if an environment is set without a zone.
    pub fn parse_destination(
        &self,
        environment: &EnvVars,
        console: &dyn Console,
    ) -> Result<Destination, Failure> {
        if self.names_zone() {
            return Ok(Destination::Zone(self.parse_scope(environment, console)?));
        }
        if self.environment.is_some() {
            return Err(needs_zone("--environment"));
        }
        for (domain, id) in &self.zones {
            self.warn_if_odd(id, &mapped(domain), console);
        }
        Ok(Destination::Hosts(self.zones.clone().into_iter().collect()))
    }

    /// Returns whether there is one zone for all entries.
    pub const fn names_zone(&self) -> bool {
        self.zone.is_some() || self.emulator
    }

    /// Warns about a zone id that is not 32 hex digits, as all documented ones are. This form is not guaranteed, so the
    /// id is sent. (The emulator accepts any id.)
    fn warn_if_odd(&self, id: &ZoneId, origin: &str, console: &dyn Console) {
        let text = id.as_str();
        if self.emulator {
            return;
        }
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            console.warn(&format!(
                "{origin}: {} does not look like a zone id, which has 32 hex digits",
                shown(text)
            ));
        }
    }
}

/// Returns the account whose token is verified: the one of the option, otherwise the one of the environment.
///
/// # Errors
///
/// [`Failure`] if it is not an id.
pub fn parse_account(
    option: Option<String>,
    environment: &EnvVars,
) -> Result<Option<Sourced<AccountId>>, Failure> {
    let variable = || Some((environment.account.clone()?, ValueOrigin::Variable(ACCOUNT_ID)));
    let given = option.map(|value| (value, ValueOrigin::Option("--account"))).or_else(variable);
    let Some((text, origin)) = given else { return Ok(None) };
    match AccountId::parse(&text) {
        Ok(value) => Ok(Some(Sourced { value, origin })),
        Err(invalid) => Err(not_an_id(&origin, &text, &invalid)),
    }
}

/// Refuses an option that needs a zone if none is set.
pub fn needs_zone(option: &str) -> Failure {
    Failure::usage(format!("`{option}` needs a zone, but none is given"))
        .with_hint(format!("name it with `--zone ID|DOMAIN`, or set `{ZONE_ID}`"))
}

/// The error for a text that is not an id. The text is shown only if it cannot be a secret.
fn not_an_id(origin: &ValueOrigin, text: &str, invalid: &InvalidInput) -> Failure {
    if may_be_secret(text) {
        return Failure::usage(format!("{origin} is not an id: {}", shown(text))).with_hint(format!(
            "it may be a token: set it in `{API_TOKEN}`, or store it in a file for `--api-token-file`"
        ));
    }
    Failure::usage(format!("{origin}: {invalid}"))
}

/// The setting that maps a domain to its zone id.
fn mapped(domain: &str) -> String {
    format!("`[zones]`, {}", shown(&domain::unicode(domain)))
}

fn parse_domain(text: &str, origin: &ValueOrigin) -> Result<String, Failure> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or("").trim_end_matches('.');
    // A letter of another script may consist of several characters.
    let is_plain = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '.' | '-' | '_')
            || (!char.is_ascii() && !cfcache_model::text::is_invisible(char) && !char.is_whitespace())
    };
    if bare != text.trim_end_matches('.') || !bare.chars().all(is_plain) {
        let failure = Failure::usage(format!("{origin}: {} is not a domain", shown(text)));
        return Err(if bare.chars().all(is_plain) && !bare.is_empty() && !may_be_secret(text) {
            failure.with_hint(format!("did you mean `{bare}`?"))
        } else {
            failure
        });
    }
    Ok(bare.to_lowercase())
}

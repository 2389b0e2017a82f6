//! Settings. Only this module reads the environment and configuration files.
//!
//! Precedence: option > environment > project file > profile > top level of the user's file > default. Each value
//! remembers its source.

pub mod environment;
pub mod file;
mod scope;
mod site;

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cfcache_client::{BaseUrl, DEFAULT_BASE_URL};
use cfcache_model::Plan;
use cfcache_model::id::ZoneId;
use cfcache_site::mapping::Site;
use secrecy::SecretString;

pub use crate::config::environment::{
    ACCOUNT_ID, ALL_PROXY, API_BASE_URL, API_KEY, API_TOKEN, EMAIL, EnvVars, HTTP_PROXY, HTTPS_PROXY, LOG,
    VARIABLES, VISITOR_HEADERS, ZONE_ID,
};
use crate::config::environment::{BASE_URL, CONFIG, PLAN, PROFILE};
pub use crate::config::file::PROJECT_FILE;
use crate::config::file::{MappedZone, Profile, ProjectFile, UserFile};
pub use crate::config::scope::{needs_zone, parse_account};
use crate::failure::Failure;
use crate::secret::{shown, shown_path};
use crate::{connection, domain};

/// Settings for one run, such as options of a command line.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The zone.
    pub zone: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The plan.
    pub plan: Option<String>,
    /// The base URL of the API.
    pub base_url: Option<String>,
    /// The user's file, instead of the default one.
    pub config: Option<PathBuf>,
    /// The profile.
    pub profile: Option<String>,
    /// A file that holds a token.
    pub api_token_file: Option<PathBuf>,
    /// Whether the API is an emulator in this process, which ignores the base URL.
    pub emulator: bool,
}

/// A value and its source.
#[derive(Debug, Clone)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The source.
    pub origin: ValueOrigin,
}

/// The source of a setting.
#[derive(Debug, Clone)]
pub enum ValueOrigin {
    /// An option on the command line.
    Option(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// A settings file, and its profile if there is one.
    File(PathBuf, Option<String>),
    /// The default; nothing sets it.
    Default,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) | Self::Variable(name) => write!(f, "`{name}`"),
            Self::File(path, None) => shown_path(path).fmt(f),
            Self::File(path, Some(profile)) => write!(f, "{}, profile {}", shown_path(path), shown(profile)),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All settings with their sources.
#[derive(Debug)]
pub struct Settings {
    /// The zone, by id or by domain.
    pub zone: Option<Sourced<String>>,
    /// The environment, by id or by name.
    pub environment: Option<Sourced<String>>,
    /// The plan whose limits are used.
    pub plan: Option<Sourced<String>>,
    /// The base URL of the API.
    pub base_url: Sourced<String>,
    /// The location of the credentials.
    pub credentials: Option<Sourced<CredentialPlace>>,
    /// The nearest project file, if there is one.
    pub project: Option<PathBuf>,
    /// The project file that forbids `everything`, if there is one.
    pub forbidden_by: Option<PathBuf>,
    /// The sites of the nearest project file that has any, by name.
    pub sites: BTreeMap<String, Site>,
    /// The project file that describes the sites.
    pub sites_file: Option<PathBuf>,
    /// A message about a zone of the project file or of a profile that is not used because the other one has
    /// precedence.
    pub overruled: Option<String>,
    /// Domains, in the form of [`domain::ascii`], and the ids of their zones.
    pub zones: BTreeMap<String, ZoneId>,
    /// The path of the user's file, whether it exists or not.
    pub path: Option<PathBuf>,
    /// The profile.
    pub profile: Option<String>,
    /// Whether the API is an emulator in this process.
    pub emulator: bool,
    home: Option<PathBuf>,
}

/// The location of the credentials.
#[derive(Debug, Clone)]
pub enum CredentialPlace {
    /// A token in a file.
    File(PathBuf),
    /// A token in a variable of the environment, which a file of settings names.
    Variable(String),
    /// A token that a command prints.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// The token itself, from [`API_TOKEN`].
    Token(SecretString),
    /// The token itself, in the settings file, which is discouraged.
    Inline(SecretString),
    /// An API key, which is older than tokens.
    Key {
        /// The e-mail address of its user.
        email: String,
        /// The key.
        key: SecretString,
    },
}

impl CredentialPlace {
    /// Returns the place of credentials in a table of a file, which is called `owner` in errors.
    ///
    /// # Errors
    ///
    /// [`Failure`] if more than one place is set, because the intended one is unknown, or if a command has no program.
    pub fn from_table(
        owner: &str,
        file: Option<&PathBuf>,
        variable: Option<&String>,
        command: Option<&[String]>,
        token: Option<&SecretString>,
    ) -> Result<Option<Self>, Failure> {
        let command = match command {
            None => None,
            Some([]) => return Err(Failure::usage(format!("{owner}: `token-command` is empty"))),
            Some([program, ..]) if program.trim().is_empty() => {
                return Err(Failure::usage(format!("{owner}: the program of `token-command` is empty")));
            }
            Some([program, arguments @ ..]) => {
                Some(Self::Command { program: program.clone(), arguments: arguments.to_vec() })
            }
        };
        let mut places = [
            file.cloned().map(Self::File),
            variable.cloned().map(Self::Variable),
            command,
            token.cloned().map(Self::Inline),
        ]
        .into_iter()
        .flatten();
        let place = places.next();
        if places.next().is_some() {
            return Err(Failure::usage(format!("{owner} has more than one token setting"))
                .with_hint("use only one of `token-file`, `token-env` and `token-command`"));
        }
        Ok(place)
    }
}

impl Settings {
    /// Combines options, environment and files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or parsed, or if the profile does not exist.
    pub fn load(overrides: &Overrides, environment: &EnvVars) -> Result<Self, Failure> {
        let (path, file) = user_file(overrides, environment)?;
        let paths = std::env::current_dir().map(|start| file::find_projects(&start)).unwrap_or_default();
        let mut projects = Vec::new();
        for path in paths {
            if let Some(file) = file::read::<ProjectFile>(&path)? {
                projects.push((path, file));
            }
        }
        let profile = profile_name(overrides, environment, &file);
        let layers = layers(path.as_deref(), &file, profile.as_deref())?;
        let from_layers = |pick: fn(&Profile) -> Option<&String>| {
            layers.iter().find_map(|(origin, layer)| {
                pick(layer).map(|value| Sourced { value: value.clone(), origin: origin.clone() })
            })
        };
        let option = |value: &Option<String>, name| sourced(value.clone(), ValueOrigin::Option(name));
        let variable = |value: &Option<String>, name| sourced(value.clone(), ValueOrigin::Variable(name));
        let of_project = projects
            .iter()
            .find_map(|(path, file)| sourced(file.zone.clone(), ValueOrigin::File(path.clone(), None)));
        let sites = projects.iter().find(|(_, file)| !file.sites.is_empty());
        let zones = mapped_zones(path.as_deref(), file.zones)?;
        // A profile has precedence over the project file only if it was named for this command.
        let named = profile.is_some() && (overrides.profile.is_some() || environment.profile.is_some());
        let of_profile = layers.first().filter(|_| named);
        let of_profile = of_profile.and_then(|(origin, layer)| sourced(layer.zone.clone(), origin.clone()));
        let named_zone = option(&overrides.zone, "--zone").or_else(|| variable(&environment.zone, ZONE_ID));
        let overruled = match (&named_zone, &of_profile, &of_project) {
            (None, Some(profile), Some(project)) if !is_same_zone(profile, project, &zones) => {
                let [used, other] =
                    if overrides.profile.is_some() { [profile, project] } else { [project, profile] };
                Some(format!(
                    "the zone is {} of {}, and not {} of {}",
                    shown(&used.value),
                    used.origin,
                    shown(&other.value),
                    other.origin
                ))
            }
            _ => None,
        };
        let of_profile = of_profile.filter(|_| overrides.profile.is_some());
        // Falling back to Cloudflare's API would be wrong if a variable was meant to name another one.
        let empty = environment.empty.iter().find(|name| [BASE_URL, API_BASE_URL].contains(&name.as_str()));
        if let (None, None, Some(name)) = (&overrides.base_url, &environment.base_url, empty)
            && !overrides.emulator
        {
            return Err(Failure::usage(format!("`{name}` is set but empty"))
                .with_hint("unset it to use Cloudflare's API, or set another URL"));
        }
        let base_url = match &environment.base_url {
            Some((url, name)) => sourced(Some(url.clone()), ValueOrigin::Variable(name)),
            None => None,
        };
        Ok(Self {
            zone: named_zone
                .or(of_profile)
                .or(of_project)
                .or_else(|| from_layers(|layer| layer.zone.as_ref())),
            environment: option(&overrides.environment, "--environment")
                .or_else(|| from_layers(|layer| layer.environment.as_ref())),
            plan: option(&overrides.plan, "--plan")
                .or_else(|| variable(&environment.plan, PLAN))
                .or_else(|| from_layers(|layer| layer.plan.as_ref())),
            base_url: option(&overrides.base_url, "--base-url")
                .or(base_url)
                .or_else(|| from_layers(|layer| layer.base_url.as_ref()))
                .unwrap_or(Sourced { value: DEFAULT_BASE_URL.to_owned(), origin: ValueOrigin::Default }),
            credentials: credentials(overrides, environment, &layers)?,
            project: projects.first().map(|(path, _)| path.clone()),
            sites: sites.map(|(_, file)| file.sites.clone()).unwrap_or_default(),
            sites_file: sites.map(|(path, _)| path.clone()),
            forbidden_by: projects.into_iter().find(|(_, file)| file.forbid_everything).map(|(path, _)| path),
            overruled,
            zones,
            path,
            profile,
            emulator: overrides.emulator,
            home: environment.home.clone(),
        })
    }

    /// Returns the base URL of the API.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not a valid base URL. The text itself is not shown, because it may contain a password.
    pub fn parse_base_url(&self) -> Result<BaseUrl, Failure> {
        self.base_url.value.parse().map_err(|invalid| {
            Failure::usage(format!("{} is not a base URL: {invalid}", self.base_url.origin))
                .with_hint(format!("use a URL such as `{DEFAULT_BASE_URL}`"))
        })
    }

    /// Returns the plan; `None` for `auto`, and if none is set.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no such plan.
    pub fn parse_plan(&self) -> Result<Option<Plan>, Failure> {
        let Some(Sourced { value, origin }) = &self.plan else { return Ok(None) };
        connection::plan(Some(value)).map_err(|failure| failure.with_cause(origin.to_string()))
    }

    /// A path as a user would type it, with `~` for the home directory.
    pub fn short(&self, path: &Path) -> String {
        let below = self.home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        match below.filter(|below| !below.as_os_str().is_empty()) {
            Some(below) => Path::new("~").join(below).display().to_string(),
            None => path.display().to_string(),
        }
    }
}

/// The map of zones, with domains in the form in which they are compared.
fn mapped_zones(
    path: Option<&Path>,
    given: BTreeMap<String, MappedZone>,
) -> Result<BTreeMap<String, ZoneId>, Failure> {
    let mut zones: BTreeMap<String, ZoneId> = BTreeMap::new();
    for (name, MappedZone(id)) in given {
        let key = domain::ascii(&name);
        if zones.get(&key).is_some_and(|other| *other != id) {
            let file = path.map(|path| format!("{}: ", shown_path(path))).unwrap_or_default();
            return Err(Failure::usage(format!("{file}`[zones]` names two zones for {}", shown(&name)))
                .with_hint("upper and lower case, a trailing dot, and `xn--` for non-ASCII letters make no difference"));
        }
        zones.insert(key, id);
    }
    Ok(zones)
}

/// Returns whether two settings name the same zone, according to the map of zones.
fn is_same_zone(one: &Sourced<String>, other: &Sourced<String>, zones: &BTreeMap<String, ZoneId>) -> bool {
    let id = |zone: &Sourced<String>| {
        let name = domain::ascii(zone.value.trim());
        zones.get(&name).map_or(name, ToString::to_string)
    };
    id(one) == id(other)
}

fn sourced<T>(value: Option<T>, origin: ValueOrigin) -> Option<Sourced<T>> {
    value.map(|value| Sourced { value, origin })
}

/// The user's file: a named file must exist, the default one need not.
fn user_file(overrides: &Overrides, environment: &EnvVars) -> Result<(Option<PathBuf>, UserFile), Failure> {
    let named = match (&overrides.config, &environment.config) {
        (Some(path), _) => Some((path.clone(), "--config")),
        (None, Some(path)) => Some((PathBuf::from(path), CONFIG)),
        (None, None) => None,
    };
    if let Some((path, name)) = named {
        let file = file::read(&path)?
            .ok_or_else(|| Failure::usage(format!("`{name}`: there is no file {}", shown_path(&path))))?;
        check_tokens(&path, &file)?;
        return Ok((Some(path), file));
    }
    let path = environment.config_home.as_ref().map(|home| home.join("cfcache").join("config.toml"));
    let Some(path) = path else { return Ok((None, UserFile::default())) };
    let file = file::read(&path)?.unwrap_or_default();
    check_tokens(&path, &file)?;
    Ok((Some(path), file))
}

/// Checks the token locations of all profiles, including those that are not used.
fn check_tokens(path: &Path, file: &UserFile) -> Result<(), Failure> {
    let named = |profile| ValueOrigin::File(path.to_owned(), profile).to_string();
    file.common().token(&named(None))?;
    for (name, profile) in &file.profiles {
        profile.token(&named(Some(name.clone())))?;
    }
    Ok(())
}

fn profile_name(overrides: &Overrides, environment: &EnvVars, file: &UserFile) -> Option<String> {
    overrides.profile.clone().or_else(|| environment.profile.clone()).or_else(|| file.profile.clone())
}

/// The profile and the top level of the file; the first one that has a value is used.
fn layers(
    path: Option<&Path>,
    file: &UserFile,
    profile: Option<&str>,
) -> Result<Vec<(ValueOrigin, Profile)>, Failure> {
    let Some(path) = path else {
        return match profile {
            Some(name) => Err(Failure::usage(format!(
                "there is no profile {}, because there is no configuration file",
                shown(name)
            ))),
            None => Ok(Vec::new()),
        };
    };
    let mut layers = Vec::new();
    if let Some(name) = profile {
        let known: Vec<String> = file.profiles.keys().map(|name| shown(name).to_string()).collect();
        let Some(layer) = file.profiles.get(name) else {
            let failure =
                Failure::usage(format!("there is no profile {} in {}", shown(name), shown_path(path)));
            let hint = if known.is_empty() {
                format!(
                    "define a profile in a table `[profiles.NAME]`; `{PROFILE}` and `--profile` select one"
                )
            } else {
                format!("there is {}", known.join(", "))
            };
            return Err(failure.with_hint(hint));
        };
        layers.push((ValueOrigin::File(path.to_owned(), Some(name.to_owned())), layer.clone()));
    }
    layers.push((ValueOrigin::File(path.to_owned(), None), file.common()));
    Ok(layers)
}

fn credentials(
    overrides: &Overrides,
    environment: &EnvVars,
    layers: &[(ValueOrigin, Profile)],
) -> Result<Option<Sourced<CredentialPlace>>, Failure> {
    if let Some(path) = &overrides.api_token_file {
        let place = CredentialPlace::File(path.clone());
        return Ok(sourced(Some(place), ValueOrigin::Option("--api-token-file")));
    }
    if let Some(token) = &environment.token {
        let place = CredentialPlace::Token(token.clone());
        return Ok(sourced(Some(place), ValueOrigin::Variable(API_TOKEN)));
    }
    if let (Some(email), Some(key)) = (&environment.email, &environment.key) {
        let place = CredentialPlace::Key { email: email.clone(), key: key.clone() };
        return Ok(sourced(Some(place), ValueOrigin::Variable(API_KEY)));
    }
    for (origin, layer) in layers {
        if let Some(place) = layer.token(&origin.to_string())? {
            return Ok(sourced(Some(place), origin.clone()));
        }
    }
    Ok(None)
}

//! The environment variables.

use std::env::VarError;
use std::path::PathBuf;

use cfcache_transport::ProxyRules;
use secrecy::SecretString;

use crate::secret::may_be_secret;

/// Declares the constants, and collects their comments for the manual.
macro_rules! variables {
    ($(#[doc = $means:literal] pub const $name:ident: &str = $variable:literal;)+) => {
        $(#[doc = $means] pub const $name: &str = $variable;)+

        /// For each constant: its name, its variable, and the meaning of the variable.
        pub const VARIABLES: &[[&str; 3]] = &[$([stringify!($name), $variable, $means],)+];
    };
}

variables! {
    /// An API token.
    pub const API_TOKEN: &str = "CLOUDFLARE_API_TOKEN";
    /// The global API key; goes with [`EMAIL`].
    pub const API_KEY: &str = "CLOUDFLARE_API_KEY";
    /// The e-mail address of the user who owns [`API_KEY`].
    pub const EMAIL: &str = "CLOUDFLARE_EMAIL";
    /// The base URL of the API, under the name that Cloudflare's SDKs use.
    pub const BASE_URL: &str = "CLOUDFLARE_BASE_URL";
    /// The base URL of the API, under the name that wrangler uses.
    pub const API_BASE_URL: &str = "CLOUDFLARE_API_BASE_URL";
    /// The proxy for `https://`. This variable and the next three may be in lower case, which takes precedence.
    pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
    /// The proxy for `http://`.
    pub const HTTP_PROXY: &str = "HTTP_PROXY";
    /// The proxy for both.
    pub const ALL_PROXY: &str = "ALL_PROXY";
    /// Hosts to reach without a proxy, in addition to this machine: names, `.domains`, addresses, networks, or `*`.
    pub const NO_PROXY: &str = "NO_PROXY";
    /// If set, as in a CGI script, [`HTTP_PROXY`] is ignored: a request's `Proxy` header could have set it.
    pub const REQUEST_METHOD: &str = "REQUEST_METHOD";
    /// The zone, by id or by domain.
    pub const ZONE_ID: &str = "CLOUDFLARE_ZONE_ID";
    /// The account that owns the token to verify, if it does not belong to a user.
    pub const ACCOUNT_ID: &str = "CLOUDFLARE_ACCOUNT_ID";
    /// The plan whose rate limits to keep.
    pub const PLAN: &str = "CFCACHE_PLAN";
    /// A profile of the configuration file.
    pub const PROFILE: &str = "CFCACHE_PROFILE";
    /// The configuration file, instead of the default one.
    pub const CONFIG: &str = "CFCACHE_CONFIG";
    /// What is logged: a level, or targets with levels, such as `info` or `warn,cfcache_transport=info`.
    pub const LOG: &str = "CFCACHE_LOG";
    /// Extra headers for visitor requests, one `NAME: VALUE` per line.
    pub const VISITOR_HEADERS: &str = "CFCACHE_VISITOR_HEADERS";
    /// The directory of configuration files; if unset, the default is below `HOME`.
    pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
    /// The directory of state files; if unset, `.local/state` below `HOME`.
    pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
    /// The user's home directory.
    pub const HOME: &str = "HOME";
    /// The directory of configuration files on Windows.
    pub const APPDATA: &str = "APPDATA";
    /// The directory of state files on Windows.
    pub const LOCALAPPDATA: &str = "LOCALAPPDATA";
    /// Disables color if it is not empty, whatever its value (<https://no-color.org>).
    pub const NO_COLOR: &str = "NO_COLOR";
    /// The type of the terminal.
    pub const TERM: &str = "TERM";
}

/// Variables of other tools, with the variable that is used here instead: `CF_…` are former names of wrangler and many
/// scripts, `CACHE_PURGE_…` is OpenNext's.
const UNREAD: &[(&str, &str)] = &[
    ("CF_API_TOKEN", API_TOKEN),
    ("CF_TOKEN", API_TOKEN),
    ("CLOUDFLARE_TOKEN", API_TOKEN),
    ("CACHE_PURGE_API_TOKEN", API_TOKEN),
    ("CLOUDFLARE_API_USER_SERVICE_KEY", API_TOKEN),
    (API_TOKEN_FILE, API_TOKEN),
    ("CF_API_TOKEN_FILE", API_TOKEN),
    ("CF_API_KEY", API_KEY),
    ("CLOUDFLARE_API_EMAIL", EMAIL),
    ("CF_API_EMAIL", EMAIL),
    ("CF_EMAIL", EMAIL),
    ("CF_ZONE_ID", ZONE_ID),
    ("CF_ZONE", ZONE_ID),
    ("CLOUDFLARE_ZONE", ZONE_ID),
    ("CLOUDFLARE_ZONE_NAME", ZONE_ID),
    ("CACHE_PURGE_ZONE_ID", ZONE_ID),
    ("CF_ACCOUNT_ID", ACCOUNT_ID),
    ("CLOUDFLARE_ACCOUNT", ACCOUNT_ID),
    ("CF_API_BASE_URL", API_BASE_URL),
];

/// The file of a token, by the convention of Docker images.
const API_TOKEN_FILE: &str = "CLOUDFLARE_API_TOKEN_FILE";

/// Returns the value of an environment variable, like [`std::env::var`].
pub type Lookup = fn(&str) -> Result<String, VarError>;

/// The environment variables. An empty variable counts as unset, because an unset secret of a CI job is passed as an empty one.
#[derive(Debug)]
pub struct EnvVars {
    /// The API token.
    pub token: Option<SecretString>,
    /// The global API key.
    pub key: Option<SecretString>,
    /// The e-mail address of the user of the key.
    pub email: Option<String>,
    /// The base URL, and its variable.
    pub base_url: Option<(String, &'static str)>,
    /// The variables for credentials that are set but empty, to name them in an error.
    pub empty: Vec<String>,
    /// The zone, by id or by domain.
    pub zone: Option<String>,
    /// The account of the token.
    pub account: Option<String>,
    /// The plan whose limits are used.
    pub plan: Option<String>,
    /// The profile of the configuration file.
    pub profile: Option<String>,
    /// The configuration file.
    pub config: Option<String>,
    /// The log filter.
    pub log: Option<String>,
    /// Extra headers for visitor requests.
    pub visitor_headers: Option<SecretString>,
    /// The directory of configuration files.
    pub config_home: Option<PathBuf>,
    /// The directory of state files.
    pub state_home: Option<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The proxies, or why the variables for them cannot be used. Neither shows a value, which may hold a password.
    pub proxies: Result<ProxyRules, String>,
    /// Whether color is disabled.
    pub no_color: bool,
    /// Whether the terminal does not support escape sequences.
    pub dumb_terminal: bool,
    /// A variable whose value is not Unicode.
    pub broken: Option<String>,
    lookup: Lookup,
}

impl EnvVars {
    /// Reads all variables that are used.
    pub fn read_all(lookup: Lookup) -> Self {
        let mut environment = Self::empty(lookup);
        environment.token = environment.read(API_TOKEN).map(SecretString::from);
        environment.key = environment.read(API_KEY).map(SecretString::from);
        environment.email = environment.read(EMAIL);
        for name in [BASE_URL, API_BASE_URL] {
            if environment.base_url.is_none() {
                environment.base_url = environment.read(name).map(|url| (url, name));
            }
        }
        environment.zone = environment.read(ZONE_ID);
        environment.account = environment.read(ACCOUNT_ID);
        environment.plan = environment.read(PLAN);
        environment.profile = environment.read(PROFILE);
        environment.config = environment.read(CONFIG);
        environment.log = environment.read(LOG);
        environment.visitor_headers = environment.read(VISITOR_HEADERS).map(SecretString::from);
        environment.home = environment.read(HOME).map(PathBuf::from);
        environment.config_home = environment
            .read_folder(XDG_CONFIG_HOME)
            .or_else(|| cfg!(windows).then(|| environment.read_folder(APPDATA)).flatten())
            .or_else(|| environment.home.as_ref().map(|home| home.join(".config")));
        environment.state_home = environment
            .read_folder(XDG_STATE_HOME)
            .or_else(|| cfg!(windows).then(|| environment.read_folder(LOCALAPPDATA)).flatten())
            .or_else(|| environment.home.as_ref().map(|home| home.join(".local").join("state")));
        environment.proxies = environment.read_proxies();
        environment.no_color = environment.read(NO_COLOR).is_some();
        environment.dumb_terminal = environment.read(TERM).is_some_and(|term| term == "dumb");
        environment
    }

    fn empty(lookup: Lookup) -> Self {
        Self {
            token: None,
            key: None,
            email: None,
            base_url: None,
            empty: Vec::new(),
            zone: None,
            account: None,
            plan: None,
            profile: None,
            config: None,
            log: None,
            visitor_headers: None,
            config_home: None,
            state_home: None,
            home: None,
            proxies: Ok(ProxyRules::default()),
            no_color: false,
            dumb_terminal: false,
            broken: None,
            lookup,
        }
    }

    /// Messages about set variables that are not read and were probably meant for one of `instead_of`. Their values are
    /// not shown.
    pub fn unread(&self, instead_of: &[&str]) -> Vec<String> {
        let meant =
            UNREAD.iter().filter(|(name, meant)| instead_of.contains(meant) && self.other(name).is_some());
        meant
            .map(|(name, meant)| {
                if name.ends_with("_FILE") {
                    format!("`{name}` is set but not used: name the file with `--api-token-file`")
                } else {
                    format!("`{name}` is set but not used: the variable is `{meant}`")
                }
            })
            .collect()
    }

    fn read_proxies(&mut self) -> Result<ProxyRules, String> {
        let mut is_secret = false;
        let rules = ProxyRules::from_variables(|name| {
            let value = self.read(name)?;
            // A token in the wrong variable is the name of a host, which would be looked up.
            let is_proxy =
                [HTTPS_PROXY, HTTP_PROXY, ALL_PROXY].iter().any(|proxy| name.eq_ignore_ascii_case(proxy));
            is_secret |= is_proxy && !value.contains('@') && may_be_secret(&value);
            Some(value)
        });
        match rules {
            _ if is_secret => Err("a proxy variable of the environment is not a proxy".to_owned()),
            Ok(rules) => Ok(rules),
            Err(invalid) => Err(format!("a proxy variable of the environment is not a proxy: {invalid}")),
        }
    }

    /// The value of a variable that holds the path of a folder. The XDG specification requires that a relative path is
    /// ignored: it would be another folder in each working directory.
    fn read_folder(&mut self, name: &str) -> Option<PathBuf> {
        self.read(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The value of another variable, such as one that a profile names for its token.
    pub fn other(&self, name: &str) -> Option<String> {
        Self::empty(self.lookup).read(name)
    }

    /// Returns whether a variable is set but empty.
    pub fn is_empty(&self, name: &str) -> bool {
        matches!((self.lookup)(name), Ok(value) if value.trim().is_empty())
    }

    fn read(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name) {
            Ok(value) if value.trim().is_empty() => {
                self.empty.push(name.to_owned());
                None
            }
            // A trailing line break comes from commands such as `$(cat file)`, and is never intended.
            Ok(value) => Some(value.trim().to_owned()),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                self.broken = Some(name.to_owned());
                None
            }
        }
    }
}

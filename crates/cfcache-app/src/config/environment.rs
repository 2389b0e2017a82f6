//! What the environment says.

use std::env::VarError;
use std::path::PathBuf;

use secrecy::SecretString;

/// The constants, and what their comments say, for the manual.
macro_rules! variables {
    ($(#[doc = $means:literal] pub const $name:ident: &str = $variable:literal;)+) => {
        $(#[doc = $means] pub const $name: &str = $variable;)+

        /// The names of all constants here, the variables that they name, and what those mean.
        pub const VARIABLES: &[[&str; 3]] = &[$([stringify!($name), $variable, $means],)+];
    };
}

variables! {
    /// An API token.
    pub const API_TOKEN: &str = "CLOUDFLARE_API_TOKEN";
    /// The global API key; goes with [`EMAIL`].
    pub const API_KEY: &str = "CLOUDFLARE_API_KEY";
    /// The e-mail address of the user whose key [`API_KEY`] is.
    pub const EMAIL: &str = "CLOUDFLARE_EMAIL";
    /// Where the API is, as the vendor's SDKs call it.
    pub const BASE_URL: &str = "CLOUDFLARE_BASE_URL";
    /// Where the API is, as wrangler calls it.
    pub const API_BASE_URL: &str = "CLOUDFLARE_API_BASE_URL";
    /// The proxy for `https://`; in lower case as well, as are the next three, and lower case wins.
    pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
    /// The proxy for `http://`.
    pub const HTTP_PROXY: &str = "HTTP_PROXY";
    /// The proxy for both.
    pub const ALL_PROXY: &str = "ALL_PROXY";
    /// The hosts that are reached without a proxy, as this machine always is: names, `.domains`, addresses, networks, or `*`.
    pub const NO_PROXY: &str = "NO_PROXY";
    /// Set where the process answers a web request, whose `Proxy` header arrives as [`HTTP_PROXY`].
    pub const REQUEST_METHOD: &str = "REQUEST_METHOD";
    /// The zone, by id or by domain.
    pub const ZONE_ID: &str = "CLOUDFLARE_ZONE_ID";
    /// The account of a token that is verified, where it is not a user's.
    pub const ACCOUNT_ID: &str = "CLOUDFLARE_ACCOUNT_ID";
    /// Whose limits to pace by.
    pub const PLAN: &str = "CFCACHE_PLAN";
    /// A profile of the configuration file.
    pub const PROFILE: &str = "CFCACHE_PROFILE";
    /// The configuration file, in place of the usual one.
    pub const CONFIG: &str = "CFCACHE_CONFIG";
    /// What is logged, as a level or as levels of targets: `info`, `warn,cfcache_transport=info`.
    pub const LOG: &str = "CFCACHE_LOG";
    /// Extra headers for visitors, one `NAME: VALUE` a line.
    pub const VISITOR_HEADERS: &str = "CFCACHE_VISITOR_HEADERS";
    /// Where configuration is; the usual place is below `HOME` where it is not set.
    pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
    /// Where states are; `.local/state` below `HOME` where it is not set.
    pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
    /// The user's own directory.
    pub const HOME: &str = "HOME";
    /// Where configuration is on Windows.
    pub const APPDATA: &str = "APPDATA";
    /// Where states are on Windows.
    pub const LOCALAPPDATA: &str = "LOCALAPPDATA";
    /// No color, whatever its value, if it is not empty (<https://no-color.org>).
    pub const NO_COLOR: &str = "NO_COLOR";
    /// The sort of terminal.
    pub const TERM: &str = "TERM";
}

/// Variables of other tools for what is read from another one here: `CF_…` is what wrangler and many scripts used to
/// call them, `CACHE_PURGE_…` is OpenNext's.
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

/// The name of a token's file, in the manner of Docker's images.
const API_TOKEN_FILE: &str = "CLOUDFLARE_API_TOKEN_FILE";

/// The proxies of the environment, each empty where there is none.
#[derive(Default)]
pub struct Proxies {
    /// For `https://`.
    pub https: String,
    /// For `http://`.
    pub http: String,
    /// For both.
    pub all: String,
    /// The hosts that are reached without one.
    pub none: String,
}

impl core::fmt::Debug for Proxies {
    /// A proxy's URL may hold a password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Proxies")
    }
}

/// Returns the value of a variable of the environment, as [`std::env::var`] does.
pub type Lookup = fn(&str) -> Result<String, VarError>;

/// What the environment says. A variable that is empty counts as unset: an unset secret of a CI job arrives so.
#[derive(Debug)]
pub struct Environment {
    /// The API token.
    pub token: Option<SecretString>,
    /// The global API key.
    pub key: Option<SecretString>,
    /// The e-mail address of the user of the key.
    pub email: Option<String>,
    /// The base URL, and the variable that it is from.
    pub base_url: Option<(String, &'static str)>,
    /// The variables for credentials that are set and empty, to name in an error.
    pub empty: Vec<String>,
    /// The zone, by id or by domain.
    pub zone: Option<String>,
    /// The account of the token.
    pub account: Option<String>,
    /// Whose limits to pace by.
    pub plan: Option<String>,
    /// The profile of the configuration file.
    pub profile: Option<String>,
    /// The configuration file.
    pub config: Option<String>,
    /// What is logged.
    pub log: Option<String>,
    /// Extra headers for visitors.
    pub visitor_headers: Option<SecretString>,
    /// The directory that configuration is in.
    pub config_home: Option<PathBuf>,
    /// The directory that states are in.
    pub state_home: Option<PathBuf>,
    /// The user's own directory.
    pub home: Option<PathBuf>,
    /// The proxies.
    pub proxies: Proxies,
    /// Whether color is not wanted.
    pub no_color: bool,
    /// Whether the terminal takes no escape sequences.
    pub dumb_terminal: bool,
    /// A variable whose value is not Unicode.
    pub broken: Option<String>,
    lookup: Lookup,
}

impl Environment {
    /// Reads everything that means something here.
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
            .read(XDG_CONFIG_HOME)
            .or_else(|| cfg!(windows).then(|| environment.read(APPDATA)).flatten())
            .map(PathBuf::from)
            .or_else(|| environment.home.as_ref().map(|home| home.join(".config")));
        environment.state_home = environment
            .read(XDG_STATE_HOME)
            .or_else(|| cfg!(windows).then(|| environment.read(LOCALAPPDATA)).flatten())
            .map(PathBuf::from)
            .or_else(|| environment.home.as_ref().map(|home| home.join(".local").join("state")));
        environment.proxies = Proxies {
            https: environment.read_either(HTTPS_PROXY),
            // Under a web server anyone could set it (<https://httpoxy.org>); in lower case nobody can.
            http: match environment.read(REQUEST_METHOD) {
                Some(_) => environment.read(&HTTP_PROXY.to_lowercase()).unwrap_or_default(),
                None => environment.read_either(HTTP_PROXY),
            },
            all: environment.read_either(ALL_PROXY),
            none: environment.read_either(NO_PROXY),
        };
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
            proxies: Proxies::default(),
            no_color: false,
            dumb_terminal: false,
            broken: None,
            lookup,
        }
    }

    /// Says which variables are set that were meant for one of these and are not read. Their values are not shown.
    pub fn unread(&self, instead_of: &[&str]) -> Vec<String> {
        let meant =
            UNREAD.iter().filter(|(name, meant)| instead_of.contains(meant) && self.other(name).is_some());
        meant
            .map(|(name, meant)| {
                if name.ends_with("_FILE") {
                    format!("`{name}` is set, and not read: name the file with `--api-token-file`")
                } else {
                    format!("`{name}` is set, and not read: the variable is `{meant}`")
                }
            })
            .collect()
    }

    /// A variable in lower case, else in upper case, else nothing.
    fn read_either(&mut self, name: &str) -> String {
        self.read(&name.to_lowercase()).or_else(|| self.read(name)).unwrap_or_default()
    }

    /// The value of another variable, such as a profile names one for its token.
    pub fn other(&self, name: &str) -> Option<String> {
        Self::empty(self.lookup).read(name)
    }

    /// Returns whether a variable is set, and there is nothing in it.
    pub fn is_empty(&self, name: &str) -> bool {
        matches!((self.lookup)(name), Ok(value) if value.trim().is_empty())
    }

    fn read(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name) {
            Ok(value) if value.trim().is_empty() => {
                self.empty.push(name.to_owned());
                None
            }
            // A line break at the end comes from `$(cat file)` and its like, and is never meant.
            Ok(value) => Some(value.trim().to_owned()),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                self.broken = Some(name.to_owned());
                None
            }
        }
    }
}

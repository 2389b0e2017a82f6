//! What the environment says: the only file that reads it.

use secrecy::SecretString;

/// An API token.
pub(crate) const API_TOKEN: &str = "CLOUDFLARE_API_TOKEN";
/// The global API key; goes with [`EMAIL`].
pub(crate) const API_KEY: &str = "CLOUDFLARE_API_KEY";
/// The e-mail address of the user whose key [`API_KEY`] is.
pub(crate) const EMAIL: &str = "CLOUDFLARE_EMAIL";
/// Where the API is, as the vendor's SDKs call it.
pub(crate) const BASE_URL: &str = "CLOUDFLARE_BASE_URL";
/// Where the API is, as wrangler calls it.
pub(crate) const API_BASE_URL: &str = "CLOUDFLARE_API_BASE_URL";
/// The proxy for `https://`; in lower case as well, as are the next three, and lower case wins.
pub(crate) const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// The proxy for `http://`.
pub(crate) const HTTP_PROXY: &str = "HTTP_PROXY";
/// The proxy for both.
pub(crate) const ALL_PROXY: &str = "ALL_PROXY";
/// The hosts that are reached without a proxy: names, `.domains`, addresses, networks, or `*`.
pub(crate) const NO_PROXY: &str = "NO_PROXY";
/// Set where the process answers a web request, whose `Proxy` header arrives as [`HTTP_PROXY`].
pub(crate) const REQUEST_METHOD: &str = "REQUEST_METHOD";
/// No color, whatever its value, if it is not empty (<https://no-color.org>).
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// The sort of terminal.
pub(crate) const TERM: &str = "TERM";

/// The proxies of the environment, each empty where there is none.
#[derive(Default)]
pub(crate) struct Proxies {
    pub(crate) https: String,
    pub(crate) http: String,
    pub(crate) all: String,
    pub(crate) none: String,
}

impl core::fmt::Debug for Proxies {
    /// A proxy's URL may hold a password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Proxies")
    }
}

/// What the environment says. A variable that is empty counts as unset: an unset secret of a CI job arrives so.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) token: Option<SecretString>,
    pub(crate) key: Option<SecretString>,
    pub(crate) email: Option<String>,
    /// The base URL, and the variable that it is from.
    pub(crate) base_url: Option<(String, &'static str)>,
    /// The variables for credentials that are set and empty, to name in an error.
    pub(crate) empty: Vec<String>,
    pub(crate) proxies: Proxies,
    pub(crate) no_color: bool,
    pub(crate) dumb_terminal: bool,
    /// A variable whose value is not Unicode.
    pub(crate) broken: Option<String>,
}

impl Config {
    pub(crate) fn of_environment() -> Self {
        let mut config = Self::default();
        config.token = config.read(API_TOKEN).map(SecretString::from);
        config.key = config.read(API_KEY).map(SecretString::from);
        config.email = config.read(EMAIL);
        for name in [BASE_URL, API_BASE_URL] {
            if config.base_url.is_none() {
                config.base_url = config.read(name).map(|url| (url, name));
            }
        }
        config.proxies = Proxies {
            https: config.read_either(HTTPS_PROXY),
            // Under a web server anyone could set it (<https://httpoxy.org>); in lower case nobody can.
            http: match config.read(REQUEST_METHOD) {
                Some(_) => config.read(&HTTP_PROXY.to_lowercase()).unwrap_or_default(),
                None => config.read_either(HTTP_PROXY),
            },
            all: config.read_either(ALL_PROXY),
            none: config.read_either(NO_PROXY),
        };
        config.no_color = config.read(NO_COLOR).is_some();
        config.dumb_terminal = config.read(TERM).is_some_and(|term| term == "dumb");
        config
    }

    /// A variable in lower case, else in upper case, else nothing.
    fn read_either(&mut self, name: &str) -> String {
        self.read(&name.to_lowercase()).or_else(|| self.read(name)).unwrap_or_default()
    }

    fn read(&mut self, name: &str) -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "this is the file that may")]
        let value = std::env::var(name);
        match value {
            Ok(value) if value.trim().is_empty() => {
                self.empty.push(name.to_owned());
                None
            }
            // A line break at the end comes from `$(cat file)` and its like, and is never meant.
            Ok(value) => Some(value.trim().to_owned()),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                self.broken = Some(name.to_owned());
                None
            }
        }
    }
}

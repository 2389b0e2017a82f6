use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::{Limiter, Policy};
use cfcache_client::{BaseUrl, Codec, Credentials, DEFAULT_BASE_URL};
use cfcache_model::endpoint::Action;
use cfcache_model::{Plan, ZoneId};
use cfcache_transport::{HyperTransport, ProxyRules, Timeouts};
use http::HeaderValue;
use secrecy::SecretString;

use crate::environment;
use crate::error::Error;
use crate::purge::PurgeRequest;

const USER_AGENT: &str = concat!("cfcache/", env!("CARGO_PKG_VERSION"));

/// A client that purges and invalidates. Clones share one rate limit, the connections and the credentials.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) client: cfcache_client::Client,
    pub(crate) plan: Plan,
    #[cfg(feature = "verify")]
    pub(crate) proxies: ProxyRules,
    #[cfg(feature = "verify")]
    pub(crate) authorities: Arc<[Vec<u8>]>,
}

impl Client {
    /// Returns a builder for a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Creates a client from the environment variables that the binary `cfcache` reads too:
    ///
    /// - `CLOUDFLARE_API_TOKEN`, or `CLOUDFLARE_API_KEY` with `CLOUDFLARE_EMAIL`
    /// - `CLOUDFLARE_BASE_URL`, otherwise `CLOUDFLARE_API_BASE_URL`
    /// - `CFCACHE_PLAN` (default: `free`). A client does not look up the plan of a zone, so `auto` means `free` too.
    /// - `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower case
    ///
    /// An empty variable counts as unset, except for an empty base URL, which is an error.
    ///
    /// # Errors
    ///
    /// [`Error::NoCredentials`], or [`Error::Variable`] if a variable has an invalid value.
    pub fn from_env() -> Result<Self, Error> {
        environment::builder()?.build()
    }

    /// Starts a purge of a zone: cached files are deleted.
    pub fn purge(&self, zone: &ZoneId) -> PurgeRequest {
        PurgeRequest::new(self.clone(), Action::Purge, zone.clone())
    }

    /// Starts an invalidation of a zone: cached files are marked as stale and are revalidated at the next request.
    pub fn invalidate(&self, zone: &ZoneId) -> PurgeRequest {
        PurgeRequest::new(self.clone(), Action::Invalidate, zone.clone())
    }

    /// Replaces the API token. This also affects clones and requests that are under way.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] if the token cannot be used in a header.
    pub fn set_api_token(&self, token: impl Into<SecretString>) -> Result<(), Error> {
        let credentials = Credentials::token(token.into()).map_err(Error::Credentials)?;
        self.client.set_credentials(credentials);
        Ok(())
    }
}

/// A builder for a [`Client`].
#[derive(Default)]
#[must_use = "it makes a client only when it is built"]
pub struct ClientBuilder {
    token: Option<SecretString>,
    key: Option<(String, SecretString)>,
    base_url: Option<String>,
    plan: Option<Plan>,
    user_agent: Option<String>,
    policy: Option<Policy>,
    proxies: ProxyRules,
    authorities: Vec<Vec<u8>>,
    timeout: Option<Duration>,
    limiter: Option<Arc<dyn Limiter>>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("base_url", &self.base_url)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Authenticates with an API token. The token needs the permission *Cache Purge* for the zones.
    pub fn api_token(mut self, token: impl Into<SecretString>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Authenticates with the global API key and the e-mail address of its user. If both are given, the token is used.
    pub fn api_key(mut self, email: impl Into<String>, key: impl Into<SecretString>) -> Self {
        self.key = Some((email.into(), key.into()));
        self
    }

    /// Sets the base URL; the default is `https://api.cloudflare.com/client/v4`. `http://` is only allowed for this
    /// machine.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Sets the plan whose limits are obeyed; the default is [`Plan::Free`]. The limits apply to the whole account.
    pub const fn plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Sets the `User-Agent` header.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the longest wait to accept when the API demands one (default: 10 minutes). If the API demands a longer one,
    /// the remaining entries fail.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.policy.get_or_insert_default().max_wait = max_wait;
        self
    }

    /// Sets the maximum number of concurrent requests of all clones (default: 64).
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.policy.get_or_insert_default().concurrency = requests;
        self
    }

    /// Sets how many times a request is retried (default: 10).
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.policy.get_or_insert_default().max_retries = retries;
        self
    }

    /// Reaches the API, and the URLs of a verification, through the proxies that these rules select (default: no
    /// proxy). No variable of the environment is read, unless the client is created with [`Client::from_env`].
    pub fn proxies(mut self, rules: ProxyRules) -> Self {
        self.proxies = rules;
        self
    }

    /// Trusts the certificate authorities in `pem` in addition to those of the platform, for the API and for the URLs
    /// of a verification. Can be called several times.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Sets the time limit of one attempt (default: 60 seconds).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Uses a rate limiter that is shared with other clients, or the program's own.
    pub fn limiter(mut self, limiter: Arc<dyn Limiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error`] if there are no credentials, or if a setting cannot work.
    pub fn build(self) -> Result<Client, Error> {
        let credentials = match (self.token, self.key) {
            (Some(token), _) => Credentials::token(token),
            (None, Some((email, key))) => Credentials::key(&email, key),
            (None, None) => return Err(Error::NoCredentials),
        };
        let credentials = credentials.map_err(Error::Credentials)?;
        let base: BaseUrl =
            self.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL).parse().map_err(Error::BaseUrl)?;
        let user_agent = self.user_agent.as_deref().unwrap_or(USER_AGENT);
        let user_agent = HeaderValue::from_str(user_agent).map_err(|_| Error::UserAgent)?;
        let plan = self.plan.unwrap_or(Plan::Free);
        let mut policy = self.policy.unwrap_or_default();
        policy.limits = Some(plan.purge_limits());
        let proxy = self.proxies.intercepts(base.origin());
        let mut transport = HyperTransport::builder(base.origin().clone()).with_proxy(proxy);
        for pem in &self.authorities {
            transport = transport.with_ca_pem(pem.clone());
        }
        if let Some(timeout) = self.timeout {
            transport = transport.with_timeouts(Timeouts::from_total(timeout));
        }
        let transport = transport.build().map_err(Error::Connection)?;
        let codec = Codec::with_user_agent(base, Some(&credentials), user_agent);
        let mut client = cfcache_client::Client::new(Arc::new(transport), codec, policy);
        if let Some(limiter) = self.limiter {
            client = client.with_limiter(limiter);
        }
        Ok(Client {
            client,
            plan,
            #[cfg(feature = "verify")]
            proxies: self.proxies,
            #[cfg(feature = "verify")]
            authorities: self.authorities.into(),
        })
    }
}

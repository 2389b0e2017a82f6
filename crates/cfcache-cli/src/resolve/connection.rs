//! How to reach the API.

use core::time::Duration;
use std::path::PathBuf;

pub(super) use cfcache_app::connection::plan;
use cfcache_app::connection::{Api, Connection, Remote};
use cfcache_client::{BaseUrl, DEFAULT_BASE_URL};
use cfcache_model::endpoint;
use cfcache_transport::{Proxy, ProxyRules, Roots};

use crate::args::RootsArg;
use crate::config::{ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, Sourced};
use crate::credentials;
use crate::failure::Failure;
use crate::resolve::{Resolver, ZoneRef};
use crate::secret::{may_be_secret, shown, shown_path};
use crate::whole;

impl Resolver<'_> {
    /// The connection; where nothing will be sent, it needs no credentials.
    pub(super) fn connection(&self, sends_nothing: bool) -> Result<Connection, Failure> {
        let global = self.global;
        if global.emulator && global.base_url.is_some() {
            return Err(Failure::usage("`--emulator` and `--base-url` exclude each other"));
        }
        let api = if global.emulator {
            self.emulator()?
        } else {
            let base = base_url(&self.settings.base_url)?;
            Api::Remote(Box::new(Remote {
                credentials: if sends_nothing {
                    None
                } else {
                    let place = self.settings.credentials.as_ref();
                    Some(credentials::fetch(place, self.environment, self.terminal)?)
                },
                allow_insecure_http: global.allow_insecure_http,
                proxy: self.proxy(&base)?,
                roots: match global.roots {
                    Some(RootsArg::Bundled) => Roots::Bundled,
                    Some(RootsArg::Platform) | None => Roots::Platform,
                },
                authorities: authorities(&global.ca_file)?,
                base,
            }))
        };
        let duration = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
        let named = self.settings.plan.as_ref();
        Ok(Connection {
            api,
            plan: plan(named.map(|plan| plan.value.as_str())).map_err(|failure| {
                failure.with_cause(named.map_or(String::new(), |plan| plan.origin.to_string()))
            })?,
            pacing: !global.no_rate_limit,
            concurrency: global.concurrency,
            max_retries: global.max_retries,
            timeout: duration(global.timeout),
            max_wait: duration(global.max_wait),
        })
    }

    /// An emulator whose one zone is the zone that is set, so that a command can be tried as it is.
    fn emulator(&self) -> Result<Api, Failure> {
        let (zone_id, zone_name) = (endpoint::example::ZONE_ID, endpoint::example::ZONE_NAME);
        Ok(match self.settings.zone {
            None => Api::Emulator { zone_id: zone_id.to_owned(), zone_name: zone_name.to_owned() },
            Some(_) => match self.zone()? {
                ZoneRef::Id(id) => Api::Emulator { zone_id: id.to_string(), zone_name: zone_name.to_owned() },
                ZoneRef::Domain(domain) => Api::Emulator { zone_id: zone_id.to_owned(), zone_name: domain },
            },
        })
    }

    /// The proxy of `--proxy`, else of the environment.
    fn proxy(&self, base: &BaseUrl) -> Result<Option<Proxy>, Failure> {
        Ok(match self.proxies()? {
            Proxies::None => None,
            Proxies::One(proxy) => Some(proxy),
            Proxies::Rules(rules) => rules.intercepts(base.origin()),
        })
    }

    /// The proxy of `--proxy`, else the rules of the environment.
    pub(super) fn proxies(&self) -> Result<Proxies, Failure> {
        match self.global.proxy.as_deref() {
            Some("none") => return Ok(Proxies::None),
            Some(url) if url.contains('@') => {
                return Err(Failure::usage("`--proxy` takes no user and password: they would show in `ps`")
                    .with_hint(format!("put the whole URL into `{HTTPS_PROXY}`")));
            }
            // A word alone would be looked up as a host, and fail as one that cannot be reached.
            Some(word) if !word.contains([':', '/']) => {
                return Err(Failure::usage(format!(
                    "`--proxy` is not a proxy: {} has neither `http://` nor a port",
                    shown(word)
                ))
                .with_hint("it looks like `http://proxy.example.com:3128`; `none` goes without"));
            }
            Some(url) => {
                return url.parse().map(Proxies::One).map_err(|invalid| {
                    Failure::usage(format!("`--proxy` is not a proxy: {invalid}"))
                        .with_hint("it looks like `http://proxy.example.com:3128`; `none` goes without")
                });
            }
            None => {}
        }
        let proxies = &self.environment.proxies;
        if [&proxies.all, &proxies.http, &proxies.https]
            .into_iter()
            .any(|proxy| !proxy.contains('@') && may_be_secret(proxy))
        {
            return Err(Failure::usage("a proxy variable of the environment is not a proxy").with_hint(format!(
                "look at `{HTTPS_PROXY}`, `{ALL_PROXY}` and `{HTTP_PROXY}`, or go without (`--proxy none`)"
            )));
        }
        // The value may hold a password, so it is not shown.
        let rules = ProxyRules::new(&proxies.all, &proxies.http, &proxies.https, &proxies.none).map_err(|invalid| {
            Failure::usage(format!("a proxy variable of the environment is not a proxy: {invalid}")).with_hint(
                format!("look at `{HTTPS_PROXY}`, `{ALL_PROXY}` and `{HTTP_PROXY}`, or go without (`--proxy none`)"),
            )
        })?;
        Ok(Proxies::Rules(Box::new(rules)))
    }
}

/// Which proxy to go through.
pub(super) enum Proxies {
    None,
    One(Proxy),
    /// By the origin that is asked.
    Rules(Box<ProxyRules>),
}

fn base_url(url: &Sourced<String>) -> Result<BaseUrl, Failure> {
    url.value.parse().map_err(|invalid| {
        // The text itself may hold a password.
        Failure::usage(format!("{} is not a base URL: {invalid}", url.origin))
            .with_hint(format!("it looks like `{DEFAULT_BASE_URL}`"))
    })
}

pub(super) fn authorities(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let read = |path: &PathBuf| {
        whole::read(path, whole::MOST)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown_path(path))))
    };
    paths.iter().map(read).collect()
}

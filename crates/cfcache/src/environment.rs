//! The settings of a client in the environment.

use cfcache_model::InvalidInput;
use cfcache_transport::ProxyRules;

use crate::client::{Client, ClientBuilder};
use crate::error::Error;

const TOKEN: &str = "CLOUDFLARE_API_TOKEN";
const KEY: &str = "CLOUDFLARE_API_KEY";
const EMAIL: &str = "CLOUDFLARE_EMAIL";
const BASE_URL: &str = "CLOUDFLARE_BASE_URL";
const API_BASE_URL: &str = "CLOUDFLARE_API_BASE_URL";
const PLAN: &str = "CFCACHE_PLAN";

/// Creates a builder with the settings in the environment.
pub(crate) fn builder() -> Result<ClientBuilder, Error> {
    let mut builder = Client::builder().proxies(proxies()?);
    if let Some(token) = value(TOKEN)? {
        builder = builder.api_token(token);
    } else if let (Some(key), Some(email)) = (value(KEY)?, value(EMAIL)?) {
        builder = builder.api_key(email, key);
    }
    if let Some(url) = base_url()? {
        builder = builder.base_url(url);
    }
    match value(PLAN)?.as_deref() {
        None | Some("auto") => {}
        Some(plan) => builder = builder.plan(plan.parse().map_err(|reason| invalid(PLAN, reason))?),
    }
    Ok(builder)
}

/// The base URL. It is parsed here because the error names the variable.
fn base_url() -> Result<Option<String>, Error> {
    for name in [BASE_URL, API_BASE_URL] {
        if let Some(url) = value(name)? {
            let parsed: Result<cfcache_client::BaseUrl, _> = url.parse();
            return parsed.map(|_| Some(url)).map_err(|reason| invalid(name, reason));
        }
    }
    // Falling back to Cloudflare's API would be wrong if a variable was meant to name another one.
    match [BASE_URL, API_BASE_URL].into_iter().find(|name| variable(name).is_some()) {
        Some(name) => {
            Err(invalid(name, InvalidInput::new("it is set but empty; unset it to use Cloudflare's API")))
        }
        None => Ok(None),
    }
}

fn proxies() -> Result<ProxyRules, Error> {
    let mut unreadable = None;
    let lookup = |name| {
        value(name).unwrap_or_else(|error| {
            unreadable.get_or_insert(error);
            None
        })
    };
    let rules = ProxyRules::from_variables(lookup);
    unreadable.map_or(Ok(()), Err)?;
    rules.map_err(|reason| {
        invalid("HTTPS_PROXY, HTTP_PROXY or ALL_PROXY", InvalidInput::new(reason.to_string()))
    })
}

/// The value of a variable without white space around it; `None` if it is unset or empty.
fn value(name: &'static str) -> Result<Option<String>, Error> {
    let Some(found) = variable(name) else { return Ok(None) };
    let text = found.into_string().map_err(|_| invalid(name, InvalidInput::new("it is not valid UTF-8")))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[expect(clippy::disallowed_methods, reason = "the environment is what this module is about")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

const fn invalid(name: &'static str, reason: InvalidInput) -> Error {
    Error::Variable { name, reason }
}

//! Cache rules: which requests they match, and what they set.
//!
//! Source: <https://developers.cloudflare.com/cache/how-to/cache-rules/>, 2026.

mod expression;
mod ruleset;
mod wildcard;

use core::time::Duration;
use std::sync::Arc;

use cfcache_model::InvalidInput;
use http::{HeaderName, StatusCode};

use crate::request::Asked;
use crate::rule::wildcard::Wildcard;

pub use crate::rule::expression::Expression;

/// Cache rules, in the order in which they apply.
///
/// All rules that match a request apply; if several set the same thing, the last one is used
/// (<https://developers.cloudflare.com/cache/how-to/cache-rules/order/>).
#[derive(Debug, Clone, Default)]
pub struct CacheRules {
    list: Vec<CacheRule>,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct CacheRule {
    condition: RuleCondition,
    effects: Effects,
}

#[derive(Debug, Clone)]
enum RuleCondition {
    Expression(Expression),
    /// Matched against host and path.
    Place(Wildcard),
}

/// The settings of the rules for a request; `None` if no rule sets them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects {
    pub(crate) is_eligible: Option<bool>,
    pub(crate) edge_ttl: Option<Arc<EdgeTtl>>,
    pub(crate) browser_ttl: Option<BrowserTtl>,
    pub(crate) key: Option<Arc<KeyTemplate>>,
    pub(crate) no_stale_while_updating: Option<bool>,
    pub(crate) origin_cache_control: Option<bool>,
    pub(crate) vary: Option<Arc<Vary>>,
    pub(crate) reserve: Option<Reserve>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EdgeTtl {
    pub(crate) mode: EdgeMode,
    /// First and last status, and the seconds: -1 is no-store, 0 is no-cache.
    pub(crate) by_status: Vec<(u16, u16, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgeMode {
    RespectOrigin,
    BypassByDefault,
    Override(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrowserTtl {
    RespectOrigin,
    Bypass,
    Override(Duration),
}

/// The template of the cache key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyTemplate {
    pub(crate) sorts_query: Option<bool>,
    pub(crate) has_deception_armor: bool,
    pub(crate) query: Option<QueryPart>,
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) header_presence: Vec<HeaderName>,
    pub(crate) header_contains: Vec<(HeaderName, Vec<String>)>,
    pub(crate) excludes_origin: bool,
    pub(crate) cookies: Vec<String>,
    pub(crate) cookie_presence: Vec<String>,
    pub(crate) has_device: bool,
    pub(crate) has_country: bool,
    pub(crate) has_language: bool,
}

/// The query parameters in the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueryPart {
    All,
    None,
    Only(Vec<String>),
    Except(Vec<String>),
}

/// The effect of `Vary` in a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vary {
    pub(crate) default: VaryAction,
    pub(crate) headers: Vec<(HeaderName, VaryAction)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VaryAction {
    /// With the values that count, if they are listed.
    Normalize(Option<Vec<String>>),
    Passthrough,
    Bypass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserve {
    pub(crate) is_eligible: bool,
    pub(crate) min_bytes: u64,
}

impl CacheRules {
    /// Parses a ruleset of the API or Terraform: an object with `rules`, a response of the API that contains it, or the
    /// list of rules alone.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a field, function, operator or parameter is not supported, with its name and place.
    pub fn parse(json: &str) -> Result<Self, InvalidInput> {
        ruleset::parse(json)
    }

    /// Adds a rule that makes everything that matches a pattern eligible: `www.example.com/blog/*`.
    ///
    /// `*` matches any text, including slashes. The pattern is compared with host and path; the host is
    /// case-insensitive, the path is not.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the pattern has no host, a host that no URL has, a scheme or a query, or contains `**`.
    pub fn with_eligible(mut self, pattern: &str) -> Result<Self, InvalidInput> {
        let found = format!("`{pattern}` is not of the form `HOST/PATH*`");
        if pattern.contains("://") {
            return Err(InvalidInput::new(format!("{found}: it has a scheme")));
        }
        if pattern.contains(['?', '#']) {
            return Err(InvalidInput::new(format!(
                "{found}: it is matched against host and path, a query is in neither"
            )));
        }
        let (host, path) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
        if host.is_empty() {
            return Err(InvalidInput::new(format!("{found}: it has no host; `*{pattern}` is on every host")));
        }
        let is_in_hosts = |char: char| char.is_ascii_graphic() && !"\\@".contains(char);
        if let Some(odd) = host.chars().find(|char| !is_in_hosts(*char)) {
            return Err(InvalidInput::new(format!(
                "{found}: `{}` is in no host of a URL; a name with other letters is written as `xn--…`",
                odd.escape_debug()
            )));
        }
        let text = format!("{}{path}", host.to_lowercase());
        let wildcard = Wildcard::parse(text.as_bytes(), true)
            .map_err(|message| InvalidInput::new(format!("{found}: {message}")))?;
        let effects = Effects { is_eligible: Some(true), ..Effects::default() };
        self.list.push(CacheRule { condition: RuleCondition::Place(wildcard), effects });
        Ok(self)
    }

    /// Appends the rules of another list, which apply after the existing ones.
    #[must_use]
    pub fn with_rules(mut self, others: Self) -> Self {
        self.list.extend(others.list);
        self.notes.extend(others.notes);
        self
    }

    /// The number of rules. Disabled rules do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Notes for the author of the rules: settings that are accepted without effect, and expressions that the API would
    /// refuse.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The settings of the rules that match a request.
    pub(crate) fn effects(&self, asked: &Asked<'_>) -> Effects {
        let mut all = Effects::default();
        for rule in self.list.iter().filter(|rule| rule.condition.holds(asked)) {
            all.overlay(&rule.effects);
        }
        all
    }
}

impl RuleCondition {
    fn holds(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Expression(expression) => expression.matches(asked),
            Self::Place(wildcard) => wildcard.matches(format!("{}{}", asked.host, asked.path).as_bytes()),
        }
    }
}

impl Effects {
    /// Applies the settings of a later rule.
    fn overlay(&mut self, later: &Self) {
        fn take<T: Clone>(mine: &mut Option<T>, later: &Option<T>) {
            if later.is_some() {
                mine.clone_from(later);
            }
        }
        take(&mut self.is_eligible, &later.is_eligible);
        take(&mut self.edge_ttl, &later.edge_ttl);
        take(&mut self.browser_ttl, &later.browser_ttl);
        take(&mut self.key, &later.key);
        take(&mut self.no_stale_while_updating, &later.no_stale_while_updating);
        take(&mut self.origin_cache_control, &later.origin_cache_control);
        take(&mut self.vary, &later.vary);
        take(&mut self.reserve, &later.reserve);
    }
}

impl EdgeTtl {
    /// The TTL in seconds for a status.
    pub(crate) fn for_status(&self, status: StatusCode) -> Option<i64> {
        let status = status.as_u16();
        let found = self.by_status.iter().find(|(first, last, _)| (*first..=*last).contains(&status));
        found.map(|(_, _, seconds)| *seconds)
    }
}

impl Vary {
    pub(crate) fn action(&self, name: &HeaderName) -> &VaryAction {
        self.headers.iter().find(|(known, _)| known == name).map_or(&self.default, |(_, action)| action)
    }
}

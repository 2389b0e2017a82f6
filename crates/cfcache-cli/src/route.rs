//! Which zone an entry belongs to, where none is named.

use std::collections::BTreeMap;

use cfcache_model::id::ZoneId;

/// Domains and their zones.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    zones: BTreeMap<String, ZoneId>,
}

impl Routes {
    /// Routes to these zones. A domain is compared without regard to case.
    pub(crate) fn new(zones: impl IntoIterator<Item = (String, ZoneId)>) -> Self {
        let zones = zones.into_iter().map(|(domain, id)| (plain(&domain), id));
        Self { zones: zones.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// Each zone once.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &ZoneId> {
        self.zones.values().collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// The zone of the longest domain that the host is, or is below of: `notexample.com` is not below `example.com`.
    pub(crate) fn zone_of(&self, host: &str) -> Option<(&str, &ZoneId)> {
        let host = plain(host);
        let mut rest = host.as_str();
        loop {
            if let Some((domain, zone)) = self.zones.get_key_value(rest) {
                return Some((domain, zone));
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

/// A host name in lower case, without the dot that may end it.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let id = |text| ZoneId::parse(text).unwrap();
        Routes::new([
            ("example.com".to_owned(), id("a")),
            ("Shop.Example.com".to_owned(), id("b")),
            ("example.co.uk".to_owned(), id("c")),
            ("xn--bcher-kva.example".to_owned(), id("d")),
        ])
    }

    #[test]
    fn the_longest_domain_at_a_label_boundary_wins() {
        let routes = routes();
        for (host, expected) in [
            ("example.com", Some("a")),
            ("EXAMPLE.com.", Some("a")),
            ("www.example.com", Some("a")),
            ("a.b.c.example.com", Some("a")),
            ("shop.example.com", Some("b")),
            ("www.shop.example.com", Some("b")),
            ("myshop.example.com", Some("a")),
            ("notexample.com", None),
            ("example.com.evil.net", None),
            ("www.example.co.uk", Some("c")),
            ("co.uk", None),
            ("com", None),
            ("", None),
            (".", None),
            ("xn--bcher-kva.example", Some("d")),
            ("192.0.2.1", None),
            ("[::1]", None),
        ] {
            assert_eq!(routes.zone_of(host).map(|(_, zone)| zone.as_str()), expected, "{host}");
        }
    }
}

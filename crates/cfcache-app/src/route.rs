//! Finds the zone of an entry if no zone is named.

use std::collections::BTreeMap;

use cfcache_model::id::ZoneId;
use cfcache_model::text::quote;

use crate::domain;
use crate::secret::shown;

/// Domains and their zones.
#[derive(Debug, Default)]
pub struct Routes {
    /// A domain may have several zones, such as an active one and a pending one, or one of another account.
    zones: BTreeMap<String, Vec<ZoneId>>,
}

impl Routes {
    /// Creates routes to these zones. Domains are compared in the form of [`domain::ascii`].
    pub fn new(named: impl IntoIterator<Item = (String, ZoneId)>) -> Self {
        let mut zones: BTreeMap<String, Vec<ZoneId>> = BTreeMap::new();
        for (name, id) in named {
            let ids = zones.entry(domain::ascii(&name)).or_default();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Self { zones }
    }

    /// Returns whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// All zones, without duplicates.
    pub fn zones(&self) -> impl Iterator<Item = &ZoneId> {
        let only = |ids: &'_ Vec<ZoneId>| ids.len() == 1;
        let zones = self.zones.values().filter(|ids| only(ids)).flatten();
        zones.collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// The zone whose domain equals the host or is its longest parent domain; `notexample.com` is not below
    /// `example.com`.
    ///
    /// # Errors
    ///
    /// The reason, if there is no such zone or several.
    pub fn zone_of(&self, host: &str) -> Result<&ZoneId, String> {
        let name = domain::ascii(host);
        let mut rest = name.as_str();
        loop {
            match self.zones.get(rest).map(Vec::as_slice) {
                Some([zone]) => return Ok(zone),
                Some(several) => {
                    let ids: Vec<&str> = several.iter().map(ZoneId::as_str).collect();
                    return Err(format!(
                        "there are {} zones named {} ({}); choose one with `--zone`",
                        several.len(),
                        shown(&domain::unicode(rest)),
                        ids.join(", ")
                    ));
                }
                None => {}
            }
            rest = match rest.split_once('.') {
                Some((_, parent)) => parent,
                None => return Err(format!("no zone is known for the host {}", quote(host))),
            };
        }
    }
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
            ("b\u{fc}cher.example".to_owned(), id("d")),
            ("two.example".to_owned(), id("e")),
            ("Two.example".to_owned(), id("f")),
            ("xn--bcher-kva.example".to_owned(), id("d")),
        ])
    }

    #[test]
    fn the_longest_domain_at_a_label_boundary_is_used() {
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
            ("www.xn--bcher-kva.example", Some("d")),
            ("www.B\u{dc}CHER.example", Some("d")),
            ("two.example", None),
            ("www.two.example", None),
            ("192.0.2.1", None),
            ("[::1]", None),
        ] {
            assert_eq!(routes.zone_of(host).ok().map(ZoneId::as_str), expected, "{host}");
        }
        let refused = routes.zone_of("www.two.example").unwrap_err();
        assert!(refused.contains("2 zones named `two.example` (e, f)"), "{refused}");
        assert_eq!(routes.zones().map(ZoneId::as_str).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}

//! What an accepted request to the API covers.

use std::borrow::Cow;

use cfcache_model::Target;
use cfcache_model::endpoint::Action;
use cfcache_model::target::File;

use crate::request::{NewRequest, Subject};

/// Returns whether `other` needs no request of its own once the API has accepted `accepted`, which was sent after
/// `other` had been stored.
///
/// What is not certain is not covered, and is sent by itself; that costs a request, and the opposite a stale page. With
/// the source of each, or the choice that was made:
///
/// - Both are for the same zone, as it was given. An id and a domain are two zones here, although they may name one.
/// - A purge covers an invalidation of the same thing. An invalidation covers no purge: it leaves the object in the cache.
/// - A purge of everything in a zone covers all of its environments
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-zone-versions/>). That this is so for an
///   invalidation is not documented, so one covers none of the environments. Everything else covers only the
///   environment that it names, or what names none.
/// - Everything covers all kinds. A tag is covered by everything and by itself, in whatever case it is written
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/>).
/// - A host covers the prefixes and URLs on it, URLs with headers of a cache key too: all files at URLs with that host go
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-hostname/>). A choice: only a host that is
///   certain ([`host_of`]) covers anything, and only URLs and prefixes whose host is.
/// - A prefix covers the longer prefixes that go on behind a `/`, and have no `/../` or the like in them. A choice:
///   whether `example.com/foo` covers `example.com/food` is documented both ways, so it is not covered.
/// - A prefix covers no URL. A prefix is compared with URLs after Transform Rules, and a single file is purged by its URL
///   before them (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge_by_prefix/>): in a zone that rewrites
///   paths, `example.com/blog` may not reach `https://example.com/blog/post`, and nothing here knows the zone's rules.
/// - A URL covers itself with the same headers, and nothing else: not the URL with a header of its cache key.
#[must_use]
pub fn covers(accepted: &NewRequest, other: &NewRequest) -> bool {
    if accepted.zone != other.zone || (accepted.action, other.action) == (Action::Invalidate, Action::Purge) {
        return false;
    }
    if accepted.environment != other.environment {
        return accepted.subject == Subject::Everything
            && accepted.action == Action::Purge
            && accepted.environment.is_none();
    }
    let (accepted, other) = (&accepted.subject, &other.subject);
    match (accepted, other) {
        (Subject::Everything, _) => true,
        (_, Subject::Everything) => false,
        (Subject::Target(Target::Hosts(_)), Subject::Target(Target::Files(_) | Target::Prefixes(_))) => {
            host_of(accepted).is_some_and(|host| host_of(other) == Some(host))
        }
        (Subject::Target(Target::Prefixes(short)), Subject::Target(Target::Prefixes(long))) => {
            let rest = long.as_str().strip_prefix(short.as_str());
            rest.is_some_and(|rest| {
                let goes_on = rest.starts_with('/') || short.as_str().ends_with('/');
                rest.is_empty() || (goes_on && host_of(accepted).is_some() && !has_dots(long.as_str()))
            })
        }
        _ => accepted.kind() == other.kind() && identity(accepted) == identity(other),
    }
}

/// What two subjects of one kind have in common if they are the same to the API: the text, a tag's without regard to
/// case, and a file's without regard to the order of its headers and the case of their names.
#[must_use]
pub fn identity(subject: &Subject) -> Cow<'_, str> {
    match subject {
        Subject::Target(Target::Tags(tag)) if tag.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Cow::Owned(tag.as_str().to_ascii_lowercase())
        }
        Subject::Target(Target::Files(file)) if !file.headers().is_empty() => Cow::Owned(identity_of(file)),
        subject => subject.key(),
    }
}

fn identity_of(file: &File) -> String {
    let headers = file.headers().iter();
    let mut headers: Vec<_> =
        headers.map(|header| (header.name().to_ascii_lowercase(), header.value())).collect();
    headers.sort_unstable();
    let mut text = file.url().as_str().to_owned();
    for (name, value) in headers {
        // No URL and no header has a line break in it.
        text.extend(["\n", &name, "\n", value]);
    }
    text
}

/// The host, in lower case, on which all is that a URL, host or prefix means; `None` where that is not certain, and for
/// tags and everything.
///
/// It is uncertain where there is a port, a user, a fragment, or a host that is not ASCII: what the API makes of these is
/// not documented. A URL's host is taken in any case, because the API lowers it
/// (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-single-file/>); that of a host or a prefix only in
/// lower case, because nothing says so of them.
#[must_use]
pub fn host_of(subject: &Subject) -> Option<Cow<'_, str>> {
    let Subject::Target(target) = subject else { return None };
    let host = target.host()?;
    let is_plain = match target {
        Target::Files(file) => {
            let behind_scheme = file.url().as_str().split_once("://")?.1;
            let rest = behind_scheme.strip_prefix(host)?;
            (rest.is_empty() || rest.starts_with(['/', '?'])) && !rest.contains('#')
        }
        Target::Hosts(whole) => whole.as_str() == host,
        Target::Prefixes(prefix) => prefix.as_str().split('/').next() == Some(host),
        _ => false,
    };
    let may_have_capitals = matches!(target, Target::Files(_));
    let has_capitals = host.bytes().any(|byte| byte.is_ascii_uppercase());
    if !is_plain || !host.is_ascii() || (has_capitals && !may_have_capitals) {
        return None;
    }
    Some(if has_capitals { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

/// Whether a path has a segment that normalization may take for "here" or "one up".
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

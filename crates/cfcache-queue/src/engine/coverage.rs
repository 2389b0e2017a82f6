//! Decides which requests an accepted API request covers.

use std::borrow::Cow;

use cfcache_model::Target;
use cfcache_model::endpoint::Action;
use cfcache_model::target::File;

use crate::request::{NewRequest, Subject};

/// Returns whether `other` needs no API request of its own after the API has accepted `accepted`. The API request for
/// `accepted` must have been sent after `other` was stored.
///
/// If coverage is uncertain, the answer is `false`: an unnecessary request is better than a stale page. The rules, each
/// with its source or marked as a choice:
///
/// - Both must be for the same zone, compared as text. An id and a domain count as different zones, although they may
///   mean the same one.
/// - A purge covers an invalidation of the same target. An invalidation never covers a purge, because the object stays
///   in the cache.
/// - A purge of everything in a zone covers all of its environments
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-zone-versions/>). This is not documented for an
///   invalidation of everything, so that covers no environment. Any other request covers only requests with the same
///   environment, or only requests without one if it has none.
/// - Everything covers all kinds. A tag covers only itself, in any case
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/>).
/// - A host covers all prefixes and URLs on it, including URLs with cache key headers
///   (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-hostname/>). A choice: this needs a host
///   that is certain ([`host_of`]) on both sides.
/// - A prefix covers longer prefixes that continue after a `/` and contain no `/../` or similar segment. A choice: the
///   documentation contradicts itself on whether `example.com/foo` covers `example.com/food`, so it does not here.
/// - A prefix covers no URL. The API compares a prefix with URLs after Transform Rules, but purges a single file by its
///   URL before them (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge_by_prefix/>). In a zone that
///   rewrites paths, `example.com/blog` may not reach `https://example.com/blog/post`, and the queue does not know the
///   zone's rules.
/// - A URL covers only itself with the same headers. It does not cover the same URL with a cache key header.
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
                let continues_at_slash = rest.starts_with('/') || short.as_str().ends_with('/');
                rest.is_empty()
                    || (continues_at_slash && host_of(accepted).is_some() && !has_dot_segment(long.as_str()))
            })
        }
        _ => accepted.kind() == other.kind() && identity(accepted) == identity(other),
    }
}

/// Returns the text that is equal for two subjects of one kind if they are the same to the API. Tags are compared
/// without regard to case, and headers of files without regard to their order and the case of their names.
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
        // URLs and headers never contain a line break.
        text.extend(["\n", &name, "\n", value]);
    }
    text
}

/// Returns the host, in lower case, that contains everything the URL, host or prefix refers to. Returns `None` if that
/// is uncertain, and for tags and everything.
///
/// A host is uncertain with a port, a user, a fragment or non-ASCII characters: the API's handling of these is not
/// documented. A URL's host may have any case, because the API converts it to lower case
/// (<https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-single-file/>). A host or prefix must be in
/// lower case, because the documentation says nothing about their case.
#[must_use]
pub fn host_of(subject: &Subject) -> Option<Cow<'_, str>> {
    let Subject::Target(target) = subject else { return None };
    let host = target.host()?;
    let is_plain = match target {
        Target::Files(file) => {
            let after_scheme = file.url().as_str().split_once("://")?.1;
            let rest = after_scheme.strip_prefix(host)?;
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

/// Returns whether a path has a segment that normalization may treat as `.` or `..`.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

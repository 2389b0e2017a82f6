//! The API's error codes: what they mean, and what to do about them.
//!
//! The same code can have several meanings, so it is looked up by endpoint, status and code. A code that is not in this
//! table is reported with the API's own text; the table only adds what the text omits.

use crate::endpoint::{Area, Descriptor};
use crate::envelope::ResponseInfo;
use crate::verdict::Class;

/// The meaning of a code on some endpoints.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The code.
    pub code: u32,
    /// The area of the API to which this applies; `None` for all.
    pub area: Option<Area>,
    /// The statuses to which this applies; empty for all.
    pub statuses: &'static [u16],
    /// The class of the failure.
    pub class: Class,
    /// The meaning, as a sentence without a full stop.
    pub meaning: &'static str,
    /// What to do about it, in the imperative, without a full stop.
    pub cure: &'static str,
    /// The source.
    pub evidence: Evidence,
}

/// How well a fact about the API is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// In Cloudflare's reference or guides.
    Documented,
    /// In copies of Cloudflare's error tables from before 2021.
    Legacy,
    /// In published logs, issues and tests.
    Observed,
}

/// Looks up a code for an endpoint and a status; the most specific entry is used.
#[must_use]
pub fn explain(endpoint: &Descriptor, status: u16, code: u32) -> Option<&'static Explanation> {
    let fits = |entry: &&Explanation| {
        entry.code == code
            && entry.area.is_none_or(|area| area == endpoint.area)
            && (entry.statuses.is_empty() || entry.statuses.contains(&status))
    };
    let rank = |entry: &&Explanation| (entry.area.is_some(), !entry.statuses.is_empty());
    CATALOG.iter().filter(fits).max_by_key(rank)
}

/// The entry for the first known code of `errors` and their error chains. The deepest code is tried first, because 6003
/// only says "headers" and its chain says which one.
pub(crate) fn explain_all(
    endpoint: &Descriptor,
    status: u16,
    errors: &[ResponseInfo],
) -> Option<&'static Explanation> {
    let known = |info: &ResponseInfo| explain(endpoint, status, info.code);
    errors.iter().find_map(|error| error.flatten().filter_map(known).last())
}

const fn on(
    area: Area,
    statuses: &'static [u16],
    code: u32,
    class: Class,
    evidence: Evidence,
    meaning: &'static str,
    cure: &'static str,
) -> Explanation {
    Explanation { code, area: Some(area), statuses, class, meaning, cure, evidence }
}

const fn any(
    statuses: &'static [u16],
    code: u32,
    class: Class,
    evidence: Evidence,
    meaning: &'static str,
    cure: &'static str,
) -> Explanation {
    Explanation { code, area: None, statuses, class, meaning, cure, evidence }
}

use Area::{CloudRegions, Purge, Settings, Token};
use Evidence::{Documented, Legacy, Observed};

const WAIT: &str =
    "wait, then run it again while nothing else calls the API; the limits are those of the zone's plan";
const CHECK_ZONE: &str = "check the zone id, and that the token covers this zone";
const LOOK_AT_ZONE: &str = "look at the zone in the dashboard";
const CHECK_ENTRIES: &str =
    "check that each entry belongs to this zone and is written exactly as it is used there";
const SEND_FEWER: &str = "send fewer entries in a request (`--batch-size`)";

/// The meaning of a 403 from the edge: problem details instead of an envelope of the API.
pub(crate) static EDGE_BLOCK: Explanation = any(
    &[403],
    0,
    Class::NotTheApi,
    Documented,
    "the firewall in front of the API refused this machine or its request, before it checked the credentials",
    "call from another network, or ask Cloudflare's support and give the cf-ray",
);

/// The meaning of 525 and 526.
pub(crate) static EDGE_TLS: Explanation = any(
    &[525, 526],
    0,
    Class::NotTheApi,
    Documented,
    "the edge could not set up TLS with the server behind it, and a retry cannot help",
    "check the base URL; if it is Cloudflare's own, see https://www.cloudflarestatus.com",
);

/// All entries, by area and code.
pub static CATALOG: &[Explanation] = &[
    // Purge and invalidate.
    on(Purge, &[], 1001, Class::Missing, Legacy, "the zone id is not valid", CHECK_ZONE),
    on(Purge, &[], 1002, Class::Missing, Legacy, "the domain is not valid", CHECK_ZONE),
    on(Purge, &[], 1006, Class::Missing, Legacy, "the zone is missing or not valid", CHECK_ZONE),
    on(Purge, &[], 1008, Class::Missing, Legacy, "the zone id is missing", CHECK_ZONE),
    on(Purge, &[], 1011, Class::Missing, Legacy, "the zone is missing or not valid", CHECK_ZONE),
    on(
        Purge,
        &[],
        1012,
        Class::Refused,
        Observed,
        "the body has none of `purge_everything`, `files`, `tags`, `hosts`, `prefixes`, or is not readable",
        "report this as a bug of the program that wrote the request",
    ),
    on(
        Purge,
        &[],
        1013,
        Class::Refused,
        Legacy,
        "`purge_everything` must be `true`",
        "send `true`, or a list",
    ),
    on(Purge, &[], 1014, Class::Refused, Legacy, "the list must be an array", "send an array"),
    on(Purge, &[], 1015, Class::BadEntry, Legacy, "an entry could not be purged", CHECK_ENTRIES),
    on(Purge, &[], 1016, Class::BadEntry, Legacy, "no entry of the request could be purged", CHECK_ENTRIES),
    on(Purge, &[], 1017, Class::BadEntry, Legacy, "not all of the request could be purged", CHECK_ENTRIES),
    on(Purge, &[], 1018, Class::Refused, Legacy, "the status of the zone does not allow it", LOOK_AT_ZONE),
    on(Purge, &[], 1020, Class::Missing, Legacy, "the zone is missing or not valid", CHECK_ZONE),
    on(Purge, &[], 1021, Class::Refused, Legacy, "the status of the zone does not allow it", LOOK_AT_ZONE),
    on(Purge, &[], 1023, Class::Missing, Legacy, "the zone is missing or not valid", CHECK_ZONE),
    on(
        Purge,
        &[],
        1068,
        Class::Credentials,
        Legacy,
        "no permission for this",
        "give the token the permission \"Cache Purge\" for this zone",
    ),
    on(
        Purge,
        &[],
        1070,
        Class::Plan,
        Legacy,
        "only the plans Business and Enterprise include this",
        "compare the zone's plan with the availability of the feature",
    ),
    on(
        Purge,
        &[],
        1082,
        Class::BadEntry,
        Legacy,
        "the entry is not on this zone",
        "purge it on the zone that its host belongs to",
    ),
    on(Purge, &[], 1083, Class::RateLimited, Legacy, "too many purges of URLs", WAIT),
    on(Purge, &[], 1084, Class::BadEntry, Legacy, "the entry cannot be purged", CHECK_ENTRIES),
    on(
        Purge,
        &[],
        1092,
        Class::Refused,
        Documented,
        "`purge_everything` is combined with another field",
        "send one or the other",
    ),
    on(Purge, &[], 1094, Class::TooMany, Legacy, "too many URLs in a request", SEND_FEWER),
    on(
        Purge,
        &[],
        1095,
        Class::Credentials,
        Legacy,
        "no right to purge this zone, or no such zone",
        CHECK_ZONE,
    ),
    on(Purge, &[], 1096, Class::Refused, Legacy, "the zone is deactivated", LOOK_AT_ZONE),
    on(
        Purge,
        &[],
        1100,
        Class::BadEntry,
        Legacy,
        "a tag is longer than 1,024 characters",
        "purge the files with this tag by URL, host or prefix",
    ),
    on(Purge, &[], 1101, Class::TooMany, Legacy, "too many tags in a request", SEND_FEWER),
    on(Purge, &[], 1102, Class::RateLimited, Legacy, "too many purges by tag", WAIT),
    on(
        Purge,
        &[],
        1107,
        Class::Plan,
        Legacy,
        "the plan does not include purging by tag",
        "this limit was lifted for all plans in April 2025; ask Cloudflare's support why it still applies",
    ),
    on(Purge, &[], 1111, Class::TooMany, Legacy, "too many hosts in a request", SEND_FEWER),
    on(
        Purge,
        &[],
        1112,
        Class::Plan,
        Legacy,
        "the plan does not include purging by host",
        "this limit was lifted for all plans in April 2025; ask Cloudflare's support why it still applies",
    ),
    on(Purge, &[], 1113, Class::RateLimited, Legacy, "too many purges by host", WAIT),
    on(Purge, &[], 1114, Class::BadEntry, Legacy, "a host is longer than 200 characters", "check the host"),
    on(
        Purge,
        &[],
        1115,
        Class::BadEntry,
        Legacy,
        "a host is not valid",
        "give host names alone, such as `www.example.com`",
    ),
    on(Purge, &[], 1134, Class::RateLimited, Documented, "the purge rate limit of the plan is reached", WAIT),
    on(
        Purge,
        &[],
        1136,
        Class::Refused,
        Documented,
        "this environment is chosen by IP address, country, ASN or threat score, so its files cannot be purged by URL",
        "purge the environment by tag, host or prefix, or everything in it",
    ),
    // The cache's settings.
    on(
        Settings,
        &[401, 403],
        1015,
        Class::Plan,
        Observed,
        "the plan of the zone does not include this setting",
        "compare the zone's plan with the setting's availability",
    ),
    on(
        Settings,
        &[],
        1142,
        Class::Missing,
        Documented,
        "it was never set",
        "set it first; until then it is off",
    ),
    on(
        Settings,
        &[],
        1144,
        Class::Missing,
        Observed,
        "it was never set",
        "nothing needs to be done: there is nothing to delete",
    ),
    on(
        Settings,
        &[],
        1152,
        Class::Refused,
        Documented,
        "Cache Reserve is on, and only one that is off can be cleared",
        "turn it off first: `cfcache reserve set off`",
    ),
    on(
        Settings,
        &[],
        1153,
        Class::Refused,
        Documented,
        "Cache Reserve is being cleared, and cannot be turned on until that has ended",
        "wait until `cfcache reserve status` reports that it is complete; a clear cannot be canceled",
    ),
    // Origin cloud regions.
    on(
        CloudRegions,
        &[],
        1142,
        Class::Missing,
        Documented,
        "this address has no mapping",
        "`cfcache origin-regions list` shows those that have one",
    ),
    on(
        CloudRegions,
        &[],
        1146,
        Class::Refused,
        Documented,
        "a part of the request is not valid",
        "compare the address in the path with the one in the body",
    ),
    on(
        CloudRegions,
        &[],
        1157,
        Class::Refused,
        Documented,
        "the vendor or its region is unknown",
        "`cfcache origin-regions supported` shows those that there are",
    ),
    on(
        CloudRegions,
        &[],
        1164,
        Class::Refused,
        Documented,
        "the zone would have more than 3,500 mappings",
        "delete some first",
    ),
    // Token verify.
    on(
        Token,
        &[],
        1000,
        Class::Credentials,
        Observed,
        "the token is not valid",
        "check that the token is complete; a token is shown only once, when it is created",
    ),
    on(Token, &[], 1001, Class::Credentials, Observed, "no token was sent", "set `CLOUDFLARE_API_TOKEN`"),
    // Everywhere.
    any(
        &[],
        971,
        Class::RateLimited,
        Observed,
        "the API's global rate limit is exceeded",
        "wait; it can take more than a minute to clear",
    ),
    any(
        &[],
        1135,
        Class::Plan,
        Observed,
        "the plan of the zone does not include this setting",
        "compare the zone's plan with the setting's availability",
    ),
    any(
        &[],
        6003,
        Class::Credentials,
        Observed,
        "a header of the request is malformed",
        "check the credentials: a token is one word, without quotes or line breaks",
    ),
    any(
        &[],
        6102,
        Class::Credentials,
        Observed,
        "the e-mail address is malformed",
        "check `CLOUDFLARE_EMAIL`",
    ),
    any(
        &[],
        6103,
        Class::Credentials,
        Observed,
        "the API key is malformed",
        "check `CLOUDFLARE_API_KEY`; a token goes into `CLOUDFLARE_API_TOKEN`",
    ),
    any(
        &[],
        6111,
        Class::Credentials,
        Observed,
        "the token is malformed",
        "check `CLOUDFLARE_API_TOKEN`: one word, without quotes or line breaks; a global API key goes into `CLOUDFLARE_API_KEY`",
    ),
    any(
        &[],
        7000,
        Class::Missing,
        Documented,
        "there is no such address in the API",
        "check the zone and environment ids, and the base URL",
    ),
    any(
        &[],
        7003,
        Class::Missing,
        Documented,
        "there is no such address in the API",
        "check the zone and environment ids, and the base URL",
    ),
    any(
        &[],
        9103,
        Class::Credentials,
        Observed,
        "the API key or e-mail address is unknown",
        "check `CLOUDFLARE_API_KEY` and `CLOUDFLARE_EMAIL`",
    ),
    any(
        &[],
        9106,
        Class::Credentials,
        Observed,
        "no credentials reached the API",
        "set `CLOUDFLARE_API_TOKEN`",
    ),
    any(
        &[],
        9107,
        Class::Credentials,
        Observed,
        "no credentials reached the API",
        "set `CLOUDFLARE_API_TOKEN`",
    ),
    any(
        &[],
        9109,
        Class::Credentials,
        Observed,
        "the token is not valid, or may not do this",
        "check the token and its permissions (`cfcache token verify`)",
    ),
    any(
        &[],
        10000,
        Class::Credentials,
        Observed,
        "the token is not valid, lacks the permission, or does not cover this zone",
        "check the token (`cfcache token verify`), its permissions and its zones",
    ),
    any(&[429], 10000, Class::RateLimited, Observed, "too many requests", WAIT),
    any(
        &[],
        10001,
        Class::Credentials,
        Observed,
        "the request could not be authenticated",
        "check the token; a new or edited token can take a minute to work",
    ),
    any(
        &[],
        10405,
        Class::Refused,
        Observed,
        "the method is not allowed here",
        "check the base URL; a proxy on the way may have changed the request",
    ),
];

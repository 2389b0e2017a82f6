//! Suggestions for commands and options that do not exist.

use crate::source::{is_host, is_prefix};

/// Suggests a command line for a word in the place of a command.
pub(super) fn instead_of_command(path: &str, found: &str) -> Option<String> {
    let entry = word(found);
    let command = match (path, found) {
        ("" | "purge" | "invalidate", "-") => format!("{} urls --from -", verb(path)),
        ("" | "purge" | "invalidate", url) if url.contains("://") => format!("{} urls {entry}", verb(path)),
        ("purge" | "invalidate", list) if list.ends_with(".txt") || list.ends_with(".json") => {
            format!("{path} urls --from {entry}")
        }
        ("purge" | "invalidate", map) if map.ends_with(".xml") || map.ends_with(".xml.gz") => {
            format!("{path} urls --from-sitemap {entry}")
        }
        ("purge" | "invalidate", name) if is_prefix(name) => format!("{path} prefixes {entry}"),
        ("purge" | "invalidate", name) if is_host(name) => format!("{path} hosts {entry}"),
        ("purge" | "invalidate", "all" | "zone" | "*" | "cache") => format!("{path} everything"),
        (
            "purge" | "invalidate",
            "file" | "files" | "uri" | "uris" | "path" | "paths" | "page" | "pages" | "link" | "links"
            | "asset" | "assets" | "list" | "single" | "single-file" | "by-url",
        ) => format!("{path} urls URL"),
        ("purge" | "invalidate", "cache-tag" | "cache-tags" | "surrogate-key" | "surrogate-keys") => {
            format!("{path} tags TAG")
        }
        ("purge" | "invalidate", "hostname" | "hostnames" | "domain" | "domains") => {
            format!("{path} hosts HOST")
        }
        ("purge" | "invalidate", "directory" | "directories" | "folder" | "dir") => {
            format!("{path} prefixes PREFIX")
        }
        (
            "",
            "cache" | "purge-cache" | "purge_cache" | "purge-urls" | "purge-url" | "purge-files" | "clear"
            | "flush" | "delete" | "clean" | "evict" | "bust" | "ban" | "refresh" | "remove" | "files"
            | "urls",
        ) => "purge urls URL".to_owned(),
        ("", "purge-all" | "purge-everything" | "clear-cache" | "flush-all") => "purge everything".to_owned(),
        ("", "expire" | "soft-purge" | "revalidate") => "invalidate urls URL".to_owned(),
        (
            "reserve" | "regional-tiered" | "smart-tiered" | "tiered-cache" | "development-mode"
            | "always-online" | "sort-query-string",
            "on" | "off",
        ) => {
            format!("{path} set {found}")
        }
        ("", "login" | "logout") => {
            return Some(
                "there is no login: set `CLOUDFLARE_API_TOKEN`, and check it with `cfcache token verify`"
                    .to_owned(),
            );
        }
        ("", "verify" | "status" | "auth" | "whoami") => "token verify".to_owned(),
        (_, "help") => format!("{path} --help"),
        _ => return None,
    };
    Some(format!("did you mean `cfcache {command}`?"))
}

/// Suggests an option or a command line for an unknown option.
pub(super) fn instead_of_option(path: &str, found: &str) -> Option<String> {
    let takes_kinds = path.is_empty() || path.starts_with("purge") || path.starts_with("invalidate");
    let command = match found.trim_start_matches('-') {
        "token" | "api-token" | "api-key" | "key" | "password" => {
            return Some(
                "no option takes a secret, because `ps` would show it: set `CLOUDFLARE_API_TOKEN`, or name a file \
                 with `--api-token-file`"
                    .to_owned(),
            );
        }
        "file" | "input" | "list" if takes_kinds => {
            return Some("read a list with `--from FILE`".to_owned());
        }
        "sitemap" if takes_kinds => {
            return Some("read a sitemap with `urls --from-sitemap FILE`".to_owned());
        }
        "from-sitemap" | "base" if takes_kinds && !path.ends_with("urls") => {
            return Some(format!("`{found}` is only for `urls`"));
        }
        "header" if takes_kinds => {
            return Some(
                "`--header` is for `urls`, whose cache key may include headers; the other kinds have none"
                    .to_owned(),
            );
        }
        "from" if path.ends_with("everything") => {
            return Some(format!(
                "`everything` takes no list; for a list, use a command such as `cfcache {} urls --from FILE`",
                verb(path.split(' ').next().unwrap_or_default())
            ));
        }
        "all" | "everything" | "purge-everything" if takes_kinds => "everything",
        "url" | "urls" | "files" if takes_kinds => "urls URL",
        "tag" | "tags" if takes_kinds => "tags TAG",
        "host" | "hosts" if takes_kinds => "hosts HOST",
        "prefix" | "prefixes" if takes_kinds => "prefixes PREFIX",
        _ => return None,
    };
    let verb = path.split(' ').next().unwrap_or_default();
    Some(format!("did you mean `cfcache {} {command}`?", self::verb(verb)))
}

/// Returns the verb of a command path; `purge` if the path is empty.
fn verb(path: &str) -> &str {
    if path.is_empty() { "purge" } else { path }
}

/// Quotes a word for a shell.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@%+=,".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

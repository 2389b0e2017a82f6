//! The status page: HTML without external resources.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cfcache_app::wording;
use cfcache_model::text::clip;
use ring::digest;

use crate::admin::view::{View, time};
use crate::store::QueueStatus;

/// The page up to its content. `SCRIPT` and `STYLE` are replaced by the constants below.
const HEAD: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The maximum number of characters of a key or an error on the page.
const MAX_TEXT_CHARS: usize = 300;

/// Returns the content security policy: the page may only run its own script, use its own style, and contact this
/// server.
pub(super) fn security_policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    format!(
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'sha256-{}'; style-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

pub(super) fn html(view: &View) -> String {
    let mut page = HEAD.replace("SCRIPT", SCRIPT).replace("STYLE", STYLE);
    // Writing to a string cannot fail.
    let _ = content(&mut page, view);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn content(page: &mut String, view: &View) -> fmt::Result {
    writeln!(page, "<p id=\"at\">{} · {}</p>", Escaped(&time(view.now)), Escaped(&view.place))?;
    if view.not_ready.is_empty() {
        writeln!(page, "<p id=\"ready\" class=\"good\">Ready</p>")?;
    } else {
        let why = view.not_ready.iter().map(|why| Escaped(why).to_string()).collect::<Vec<_>>();
        writeln!(page, "<p id=\"ready\" class=\"bad\">Not ready: {}</p>", why.join("; "))?;
    }
    match &view.store {
        Err(why) => writeln!(page, "<p id=\"store\" class=\"bad\">{}</p>", Escaped(why))?,
        Ok(status) => {
            queue(page, status)?;
            budgets(page, status)?;
        }
    }
    purges(page, view)?;
    match &view.store {
        Err(_) => Ok(()),
        Ok(status) => dead(page, status),
    }
}

fn queue(page: &mut String, status: &QueueStatus) -> fmt::Result {
    let waiting = status.waiting();
    writeln!(page, "<h2>Queue</h2>\n<table id=\"queue\">")?;
    writeln!(page, "<tr><th>Kind<th class=\"n\">Waiting<th class=\"n\">Oldest")?;
    for kind in status.all_kinds() {
        let oldest = if kind.waiting == 0 { "–".to_owned() } else { wording::whole(kind.oldest) };
        let name = if kind.kind == "files" { "URLs" } else { &kind.kind };
        writeln!(
            page,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{oldest}",
            Escaped(name),
            Thousands(kind.waiting)
        )?;
    }
    writeln!(page, "<tr class=\"sum\"><td>All<td class=\"n\">{}<td>", Thousands(waiting))?;
    writeln!(page, "</table>")?;
    let tuples = status.dead_tuples.map(|count| format!("{} dead rows", Thousands(count)));
    let age = status
        .oldest_transaction
        .map(|age| format!("oldest transaction of the database {}", wording::whole(age)));
    let facts: Vec<String> = tuples.into_iter().chain(age).collect();
    if !facts.is_empty() {
        writeln!(page, "<p class=\"small\">{}</p>", facts.join(", "))?;
    }
    Ok(())
}

fn budgets(page: &mut String, status: &QueueStatus) -> fmt::Result {
    writeln!(page, "<h2>Budgets</h2>")?;
    if status.budgets.is_empty() {
        return writeln!(page, "<p class=\"small\">Nothing has been sent yet.</p>");
    }
    writeln!(
        page,
        "<table id=\"budgets\">\n<tr><th>Budget<th class=\"n\">Tokens<th class=\"n\">Blocked for"
    )?;
    for budget in &status.budgets {
        let blocked =
            if budget.blocked_for.is_zero() { "–".to_owned() } else { wording::whole(budget.blocked_for) };
        writeln!(
            page,
            "<tr><td class=\"text\">{}<td class=\"n\">{:.1}<td class=\"n\">{blocked}",
            Escaped(&budget.name),
            budget.tokens
        )?;
    }
    writeln!(page, "</table>")
}

fn purges(page: &mut String, view: &View) -> fmt::Result {
    writeln!(page, "<h2>Last purges of this process</h2>")?;
    if view.purges.is_empty() {
        return writeln!(page, "<p class=\"small\">None yet.</p>");
    }
    writeln!(
        page,
        "<table id=\"purges\">\n<tr><th>Time (UTC)<th>Zone<th>Kind<th class=\"n\">Keys<th>Outcome<th class=\"n\">Took"
    )?;
    for purge in &view.purges {
        let at = time(purge.at);
        writeln!(
            page,
            "<tr><td>{}<td class=\"text\">{}<td>{}<td class=\"n\">{}<td class=\"{}\">{}<td class=\"n\">{}",
            at.get(11..19).unwrap_or(&at),
            Escaped(&purge.zone),
            Escaped(if purge.kind == "files" { "URLs" } else { purge.kind }),
            Thousands(purge.items),
            if purge.outcome == "accepted" { "good" } else { "bad" },
            Escaped(&purge.outcome.replace('_', " ")),
            wording::duration(purge.elapsed)
        )?;
    }
    writeln!(page, "</table>")
}

fn dead(page: &mut String, status: &QueueStatus) -> fmt::Result {
    writeln!(page, "<h2>Dead letters</h2>")?;
    if status.dead_count == 0 {
        return writeln!(page, "<p class=\"small\">None.</p>");
    }
    writeln!(page, "<table id=\"dead\">\n<tr><th class=\"n\">Id<th>Zone<th>What<th>Why")?;
    for dead in &status.dead {
        let what = if dead.kind == "files" { "URL" } else { &dead.kind };
        writeln!(
            page,
            "<tr><td class=\"n\">{}<td class=\"text\">{}<td class=\"text\">{} {}<td class=\"text\">{}{}{}",
            dead.id,
            Escaped(&dead.zone),
            Escaped(what),
            Escaped(&dead.key),
            Escaped(&dead.reason),
            if dead.last_error.is_empty() { "" } else { ": " },
            Escaped(&dead.last_error)
        )?;
    }
    writeln!(page, "</table>")?;
    let shown = status.dead.len() as u64;
    if status.dead_count > shown {
        writeln!(page, "<p class=\"small\">and {} older</p>", Thousands(status.dead_count - shown))?;
    }
    writeln!(page, "<p class=\"small\"><code>cfcache-queue dead retry</code> puts them back.</p>")
}

/// Text from users, escaped for HTML. Invisible characters are shown as escapes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in clip(self.0, MAX_TEXT_CHARS).chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A number with a narrow space between groups of three digits.
struct Thousands(u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use cfcache_model::endpoint::Action;

    use super::*;
    use crate::metrics::EndedRequest;
    use crate::store::{BudgetStatus, DeadRequest, KindStatus};

    const EVIL: &str = "<img/src=x onerror=alert(1)>&\"'\u{202e}\n";

    fn view(store: Result<QueueStatus, String>) -> View {
        View {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            place: EVIL.to_owned(),
            not_ready: vec![EVIL.to_owned()],
            store: store.map(Arc::new),
            purges: vec![EndedRequest {
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_599),
                zone: EVIL.to_owned(),
                kind: "files",
                items: 1_234_567,
                outcome: "accepted",
                elapsed: Duration::from_millis(41),
            }],
        }
    }

    fn status() -> QueueStatus {
        let mut status = QueueStatus { dead_count: 1200, dead_tuples: Some(5), ..QueueStatus::default() };
        status.oldest_transaction = Some(Duration::from_secs(7));
        status.kinds.push(KindStatus {
            kind: EVIL.to_owned(),
            waiting: 12_345,
            oldest: Duration::from_secs(200),
        });
        status.budgets.push(BudgetStatus { name: EVIL.to_owned(), tokens: 2.5, blocked_for: Duration::ZERO });
        let [key, zone, reason, last_error] = [(); 4].map(|()| EVIL.to_owned());
        status.dead.push(DeadRequest {
            id: 7,
            zone,
            environment: None,
            action: Action::Purge,
            kind: EVIL.to_owned(),
            key,
            attempts: 0,
            reason,
            last_error,
        });
        status
    }

    #[test]
    fn every_value_is_escaped() {
        for view in [view(Ok(status())), view(Err(EVIL.to_owned()))] {
            let html = html(&view);
            assert!(!html.contains("<img"), "{html}");
            assert!(!html.contains('\u{202e}'), "{html}");
            assert!(
                html.contains("&lt;img/src=x onerror=alert(1)&gt;&amp;&quot;&#39;\\u{202e}\\n"),
                "{html}"
            );
        }
        let count = |html: &str| html.matches("&lt;img").count();
        // The place, the reason for not being ready, the kind, the budget, the zone of the purge, and five values of
        // the dead letter.
        assert_eq!(count(&html(&view(Ok(status())))), 10);
    }

    #[test]
    fn formats_numbers_and_times() {
        let html = html(&view(Ok(status())));
        for part in [
            "12\u{202f}345",
            "3 min 20 s",
            "1\u{202f}234\u{202f}567",
            "41 ms",
            "and 1\u{202f}199 older",
            "23:59:59",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        let thousands = [0, 999, 1000, 1_000_000].map(|number| Thousands(number).to_string());
        assert_eq!(thousands, ["0", "999", "1\u{202f}000", "1\u{202f}000\u{202f}000"]);
    }

    #[test]
    fn the_page_loads_no_external_resources() {
        let html = html(&view(Ok(status())));
        for part in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!html.contains(part), "{part}");
        }
        assert!(html.contains(SCRIPT) && html.contains(STYLE));
    }

    #[test]
    fn the_page_and_the_json_show_the_same_values() {
        let json = view(Ok(status())).to_json();
        assert_eq!(json["kinds"], status().to_json()["kinds"]);
        assert_eq!(json["kinds"][5]["waiting"], 12_345);
        assert_eq!(json["purges"][0]["at"], "2025-12-31T23:59:59Z");
        assert_eq!(json["dead"][0]["key"], EVIL);
        assert_eq!((&json["dead_count"], &json["ready"]), (&1200.into(), &false.into()));
        let json = view(Err("it is down".to_owned())).to_json();
        assert_eq!((&json["error"], &json["kinds"]), (&"it is down".into(), &serde_json::Value::Null));
    }
}

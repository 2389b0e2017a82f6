//! Renders the page with the cached objects and the last purges.
//!
//! The page is complete without scripts. Its script only requests the page again and replaces the content.

use core::fmt::{self, Write as _};

use crate::edge::{Inventory, PurgeRecord};

/// Nothing external is loaded, whatever a URL or a tag contains.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEAD: &str = include_str!("page.html");

/// Renders the page.
pub(super) fn render(inventory: &Inventory, now: &str, date: impl Fn(&PurgeRecord) -> String) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = content(&mut page, inventory, now, date);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn content(
    page: &mut String,
    inventory: &Inventory,
    now: &str,
    date: impl Fn(&PurgeRecord) -> String,
) -> fmt::Result {
    let Inventory { objects, count, bytes, purges } = inventory;
    writeln!(
        page,
        "<p id=\"sum\">{count} objects, {bytes} bytes. The emulated time is {}.</p>",
        escape(now)
    )?;

    writeln!(page, "<h2>Last purges</h2>")?;
    if purges.is_empty() {
        writeln!(page, "<p>Nothing has been purged yet.</p>")?;
    } else {
        writeln!(
            page,
            "<table id=\"purges\"><thead><tr><th>Time<th>Operation<th>Items<th>Objects</tr></thead><tbody>"
        )?;
        for purge in purges {
            write!(page, "<tr><td>{}<td>{} {}", escape(&date(purge)), purge.action.verb(), purge.kind)?;
            if let Some(environment) = &purge.environment {
                write!(page, "<br>environment {}", escape(environment))?;
            }
            write!(page, "<td class=\"text\">")?;
            for item in &purge.items {
                write!(page, "{}<br>", escape(item))?;
            }
            if purge.count > purge.items.len() {
                write!(page, "and {} more", purge.count - purge.items.len())?;
            }
            write!(page, "<td>")?;
            match purge.objects {
                Some(objects) => write!(page, "{objects}")?,
                None => write!(page, "not yet")?,
            }
            if purge.survived > 0 {
                write!(page, "<br>{} items survive (fault)", purge.survived)?;
            }
            writeln!(page, "</tr>")?;
        }
        writeln!(page, "</tbody></table>")?;
    }

    writeln!(page, "<h2>Objects</h2>")?;
    if objects.is_empty() {
        writeln!(page, "<p>Nothing is cached. Visit a page twice; the header x-cfcache-edge says why.</p>")?;
        return Ok(());
    }
    if count > &objects.len() {
        writeln!(page, "<p>The first {} of {count}, by URL.</p>", objects.len())?;
    }
    writeln!(
        page,
        "<table id=\"objects\"><thead><tr><th>URL, key<th>Status<th>Age<th>Fresh for<th>Size<th>Tags</tr></thead><tbody>"
    )?;
    for object in objects {
        write!(
            page,
            "<tr><td class=\"text\">{}<br><small>{}</small>",
            escape(&object.url),
            escape(&object.key)
        )?;
        if !object.variant.is_empty() {
            write!(page, "<br><small>variant {}</small>", escape(&object.variant))?;
        }
        if let Some(environment) = &object.environment {
            write!(page, "<br><small>environment {}</small>", escape(environment))?;
        }
        if object.in_reserve {
            write!(page, "<br><small>in Cache Reserve</small>")?;
        }
        write!(page, "<td>{}<td>{} s<td>", object.status.as_u16(), object.age)?;
        match object.fresh_for {
            fresh @ 0.. => write!(page, "{fresh} s")?,
            stale => write!(page, "stale for {} s", stale.unsigned_abs())?,
        }
        write!(page, "<td>{}<td class=\"text\">{}", object.size, escape(&object.tags.join(", ")))?;
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</tbody></table>")
}

/// Prepares text for HTML: without markup, and without invisible characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Characters that change the text direction could make a URL look like another one.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.extend(char.escape_unicode());
            }
            char if char.is_control() => escaped.extend(char.escape_debug()),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_shown_text() {
        for (text, expected) in [
            ("<script>alert('a')</script>", "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;"),
            ("a\" onload=\"b", "a&quot; onload=&quot;b"),
            ("&lt;", "&amp;lt;"),
            ("a\u{202e}b\u{1b}[31m", "a\\u{202e}b\\u{1b}[31m"),
            ("\u{fc}", "\u{fc}"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}

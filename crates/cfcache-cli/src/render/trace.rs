//! Prints requests and responses for `-v` and `-vv`.

use cfcache_client::Exchange;
use http::{HeaderMap, HeaderValue};

use crate::render::Terminal;

/// Prints a request and its response, if requested.
pub(super) fn exchange(terminal: &Terminal, exchange: &Exchange<'_>) {
    if terminal.verbose == 0 {
        return;
    }
    let operation = exchange.operation;
    let attempt = match operation.attempt {
        1 => String::new(),
        attempt => format!(" (try {attempt})"),
    };
    let asked = format!("{} {}{attempt}, {} bytes", exchange.method, exchange.path, exchange.body_bytes);
    let millis = exchange.elapsed.as_secs_f64() * 1e3;
    let answered = match exchange.result {
        Ok(response) => {
            let ray = response.headers().get("cf-ray");
            let ray = ray.map(|ray| format!(", cf-ray {}", shown(exchange, ray, 64))).unwrap_or_default();
            let bytes = response.body().len();
            let status = response.status().as_u16();
            format!("{status}, {bytes} bytes, {millis:.1} ms, {:?}{ray}", response.version())
        }
        Err(error) => format!("{error}, {millis:.1} ms"),
    };
    terminal.say(&format!("{asked} -> {answered}"));
    if terminal.verbose > 1 {
        headers(terminal, exchange, ">", &exchange.headers());
        if let Ok(response) = exchange.result {
            headers(terminal, exchange, "<", response.headers());
        }
    }
}

/// Prints headers. Values that are marked as sensitive, and cookies that the server sets, are blanked.
fn headers(terminal: &Terminal, exchange: &Exchange<'_>, direction: &str, headers: &HeaderMap) {
    for (name, value) in headers {
        let is_secret = value.is_sensitive() || name == "set-cookie" || name == "authorization";
        let value = if is_secret { "[secret]".to_owned() } else { shown(exchange, value, 200) };
        let name = exchange.redactor.redact(name.as_str());
        terminal.say(&format!("  {direction} {name}: {value}"));
    }
}

/// Formats a header value for a terminal. It is truncated last, because the first half of a secret does not look like
/// one.
fn shown(exchange: &Exchange<'_>, value: &HeaderValue, limit: usize) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    cfcache_model::text::clip(&exchange.redactor.redact(&text), limit)
}

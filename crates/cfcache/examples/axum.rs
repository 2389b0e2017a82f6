//! An axum handler that purges the pages that an editor published.
//!
//! `cargo run -p cfcache --example axum`, then
//! `curl -d '["https://www.example.com/"]' -H 'content-type: application/json' http://127.0.0.1:3000/published`
//!
//! It reads the environment variables of `Client::from_env`, and `CLOUDFLARE_ZONE_ID`.

#![expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]

use std::error::Error;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use cfcache::{Client, ZoneId};

#[derive(Clone)]
struct App {
    client: Client,
    zone: ZoneId,
}

async fn published(State(app): State<App>, Json(pages): Json<Vec<String>>) -> (StatusCode, String) {
    // An empty or invalid list is an error before anything is sent.
    let result = app.client.purge(&app.zone).urls(pages).send().await;
    match result.and_then(cfcache::Summary::into_result) {
        Ok(summary) => (StatusCode::OK, format!("{} purged\n", summary.accepted)),
        Err(error @ (cfcache::Error::Entry { .. } | cfcache::Error::Empty)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let zone = std::env::var("CLOUDFLARE_ZONE_ID")?.parse()?;
    let app = App { client: Client::from_env()?, zone };
    let router = Router::new().route("/published", post(published)).with_state(app);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, router).await?;
    Ok(())
}

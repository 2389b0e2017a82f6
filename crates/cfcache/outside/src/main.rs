//! What a program writes that knows nothing but the facade.

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::var("CLOUDFLARE_API_TOKEN")?;
    let url = std::env::var("CLOUDFLARE_BASE_URL")?;
    let client = cfcache::Client::builder()
        .api_token(token)
        .base_url(url)
        .plan(cfcache::Plan::Pro)
        .user_agent("app/1.0")
        .build()?;
    let zone: cfcache::ZoneId = "023e105f4ecef8ad9ca31a8372d0c353".parse()?;
    let summary = client.purge(&zone).urls(["https://www.example.com/a"]).send().await?;
    println!("{} of {} accepted in {} requests", summary.accepted, summary.items, summary.requests);
    let tags: Vec<cfcache::Tag> = vec!["release-42".parse()?];
    // A purge is a task like any other.
    let task = tokio::spawn(client.invalidate(&zone).tags(tags).send());
    task.await??.all_accepted()?;
    Ok(())
}

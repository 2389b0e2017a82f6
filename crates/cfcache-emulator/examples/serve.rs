//! Runs the emulator until it is interrupted: `cargo run -p cfcache-emulator --example serve [FAULT]…`

use cfcache_emulator::{Config, Emulator, Fault};
use cfcache_model::Plan;

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut config = Config::new(Plan::Free);
    for text in std::env::args().skip(1) {
        config = config.with_fault(text.parse::<Fault>()?);
    }
    let running = Emulator::start(config, ([127, 0, 0, 1], 8787).into()).await?;
    #[expect(clippy::print_stdout, reason = "an example is for people")]
    {
        println!("listening on {}", running.base_url());
    }
    core::future::pending().await
}

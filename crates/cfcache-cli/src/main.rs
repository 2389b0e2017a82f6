//! `cfcache`: the command line of the Cloudflare Cache API.

mod args;
mod ask;
mod command;
mod config;
mod exit;
mod failure;
mod observe;
mod progress;
mod render;
mod report;
mod resolve;
mod session;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    let config = config::Config::of_environment();
    let exit = match args::parse() {
        Ok(args) => {
            let talk = render::Talk::new(&args.global, &config);
            match resolve::job(args, &config, &talk) {
                Ok(job) => command::execute(job, &talk),
                Err(failure) => talk.failure(&failure),
            }
        }
        Err(usage) => render::usage(&usage, &config),
    };
    exit.into()
}

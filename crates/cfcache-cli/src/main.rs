//! `cfcache`: the command line of the Cloudflare Cache API.

mod args;
mod ask;
mod command;
mod config;
mod domain;
mod exit;
mod failure;
mod journal;
mod observe;
mod progress;
mod render;
mod report;
mod resolve;
mod route;
mod same_file;
mod secret;
mod session;
mod source;
mod whole;

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = config::Environment::read_all();
    let exit = match args::parse() {
        Ok(args) => {
            let talk = render::Talk::new(&args.global, &environment);
            match resolve::job(args, &environment, &talk) {
                Ok(job) => command::execute(job, &talk),
                Err(failure) => talk.failure(&failure),
            }
        }
        Err(usage) => render::usage(&usage, &environment),
    };
    exit.into()
}

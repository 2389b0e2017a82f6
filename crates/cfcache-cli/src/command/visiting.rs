//! What `probe` and `warm` share: URLs that stream in, and how far the whole is.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::Cell;

pub(super) use cfcache_app::visiting::{Meter, draw};
use cfcache_probe::Target as Visited;
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;
use crate::source::{Chunk, Sources};

/// How many chunks of the input are read ahead.
const READ_AHEAD: usize = 2;

/// The URLs of an input while it is read, by a thread of its own: files and pipes block.
pub(super) struct Urls<'a> {
    chunks: mpsc::Receiver<Chunk>,
    talk: &'a Talk,
    /// How the process ends for what was found on the way, and how many URLs there were.
    exit: &'a Cell<Exit>,
    read: &'a Cell<u64>,
}

impl<'a> Urls<'a> {
    pub(super) fn read(sources: Sources, talk: &'a Talk, exit: &'a Cell<Exit>, read: &'a Cell<u64>) -> Self {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || sources.read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
        Self { chunks, talk, exit, read }
    }
}

impl Stream for Urls<'_> {
    type Item = Vec<Visited>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Visited>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                self.exit.set(self.exit.get().or(chunk.tell(self.talk)));
                let urls: Vec<_> =
                    chunk.entries.iter().filter_map(|entry| Visited::from_entry(&entry.target)).collect();
                self.read.set(self.read.get() + urls.len() as u64);
                urls
            })
        })
    }
}

/// What is said where an input turned out to hold no URL.
pub(super) fn nothing() -> Failure {
    Failure::usage("there is no valid URL in the input; nothing was asked")
}

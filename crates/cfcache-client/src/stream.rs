//! Inputs of something at hand.

use core::pin::Pin;
use core::task::{Context, Poll};

use cfcache_model::plan::Entry;
use futures_core::Stream;

/// Makes the input of a [`Client::run`](crate::Client::run) of something at hand.
///
/// - What comes back is a [`Stream`] of `futures-core` 0.3, the one that `futures` and `tokio-stream` have too.
/// - The iterator is asked for as many as make a request, and asked again when those are on their way. It may not block:
///   what has to be waited for is a stream of its own, of which [`Client::run`](crate::Client::run) has an example.
pub fn entries<I>(targets: I) -> impl Stream<Item = Vec<Entry>>
where
    I: IntoIterator<Item: Into<Entry>, IntoIter: Unpin>,
{
    EntryChunks(targets.into_iter())
}

/// How many entries of an iterator go on together: as many as make a request, most often.
const CHUNK: usize = 100;

struct EntryChunks<I>(I);

impl<I> Stream for EntryChunks<I>
where
    I: Iterator<Item: Into<Entry>> + Unpin,
{
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        // An iterator need not know how much is left of it.
        let mut chunk: Vec<Entry> = Vec::with_capacity(CHUNK);
        chunk.extend(self.0.by_ref().take(CHUNK).map(Into::into));
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    }
}

//! Streams from iterators and from functions.

use core::pin::Pin;
use core::task::{Context, Poll};

use cfcache_model::plan::Entry;
use futures_core::Stream;

/// Creates the input of a [`Client::run`](crate::Client::run) from an iterator.
///
/// - The returned [`Stream`] is that of `futures-core` 0.3, as in `futures` and `tokio-stream`.
/// - The iterator is read in chunks of about one request, each after the previous one was taken. It must not block: for
///   input that has to be awaited, write a stream; [`Client::run`](crate::Client::run) has an example.
pub fn entries<I>(targets: I) -> impl Stream<Item = Vec<Entry>>
where
    I: IntoIterator<Item: Into<Entry>, IntoIter: Unpin>,
{
    let mut targets = targets.into_iter();
    stream_fn(move |_| {
        // An iterator may not know its length.
        let mut chunk: Vec<Entry> = Vec::with_capacity(CHUNK);
        chunk.extend(targets.by_ref().take(CHUNK).map(Into::into));
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    })
}

/// The number of entries that are taken from an iterator at once, which is usually one request.
const CHUNK: usize = 100;

/// Creates a stream from a poll function, such as that of a channel, which is called until it returns `None`.
pub fn stream_fn<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<Option<T>>) -> impl Stream<Item = T> {
    struct StreamFn<F>(F);

    impl<F> Unpin for StreamFn<F> {}

    impl<T, F: FnMut(&mut Context<'_>) -> Poll<Option<T>>> Stream for StreamFn<F> {
        type Item = T;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
            (self.0)(context)
        }
    }

    StreamFn(poll)
}

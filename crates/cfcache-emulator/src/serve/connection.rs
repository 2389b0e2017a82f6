//! A handle with which request handlers can end their connection.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The state that a connection should be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Serve more requests.
    Serve,
    /// Finish the current answers, and accept no more requests.
    Finish,
    /// Reset the connection immediately.
    Reset,
}

/// The handle of a connection.
#[derive(Debug)]
pub(super) struct ServerConnection {
    /// The number of the connection, from 1.
    pub(super) number: u64,
    orders: watch::Sender<Order>,
}

impl ServerConnection {
    pub(super) fn new(number: u64) -> (Self, watch::Receiver<Order>) {
        let (orders, receiver) = watch::channel(Order::Serve);
        (Self { number, orders }, receiver)
    }

    /// Gives an order. It never replaces a stronger one.
    pub(super) fn order(&self, order: Order) {
        self.orders.send_if_modified(|current| {
            let is_harder = order > *current;
            *current = order.max(*current);
            is_harder
        });
    }
}

/// A stream that is reset when it is dropped after [`Order::Reset`], and otherwise closed.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    connection: Arc<ServerConnection>,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, connection: Arc<ServerConnection>) -> Self {
        Self { stream, connection }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if *self.connection.orders.borrow() == Order::Reset {
            // If the system does not support this, the connection is closed normally.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

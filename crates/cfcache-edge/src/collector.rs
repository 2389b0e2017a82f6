//! Collects a body while it arrives.

use bytes::{Bytes, BytesMut};

/// Collects a body up to a limit, in memory of exactly its size.
#[derive(Debug)]
pub struct BodyCollector {
    limit: u64,
    pieces: Vec<Bytes>,
    length: u64,
}

/// The body exceeds the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full;

impl BodyCollector {
    /// Creates an empty body with a limit in bytes.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit, pieces: Vec::new(), length: 0 }
    }

    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// [`Full`] if the body would exceed the limit; the piece is not added.
    pub fn push(&mut self, piece: Bytes) -> Result<(), Full> {
        let length = self.length + piece.len() as u64;
        if length > self.limit {
            return Err(Full);
        }
        self.length = length;
        self.pieces.push(piece);
        Ok(())
    }

    /// The pieces so far, in order.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The complete body.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut body = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or_default());
        for piece in self.pieces {
            body.extend_from_slice(&piece);
        }
        body.freeze()
    }
}

//! Walks concatenated batches, as they stand in a produce request, a fetch response or a segment.

use bytes::Bytes;

use crate::{BatchError, BatchHeader};

/// Walks the batches in `bytes`. Nothing is copied and no body is read.
#[must_use]
pub fn split(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone(), position: 0 }
}

/// Iterator over concatenated batches; see [`split`]. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    position: usize,
}

impl Batches {
    /// Bytes behind the last batch that was given out.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    fn take_next(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let header = BatchHeader::parse(&self.rest).map_err(|error| match error {
            BatchError::Truncated { needed, remaining, .. } => {
                BatchError::Truncated { position: self.position, needed, remaining }
            }
            other => other,
        })?;
        let needed = header.size_bytes();
        if needed > self.rest.len() {
            return Err(BatchError::Truncated {
                position: self.position,
                needed,
                remaining: self.rest.len(),
            });
        }
        let batch = self.rest.split_to(needed);
        self.position += needed;
        Ok((header, batch))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = self.take_next();
        if next.is_err() {
            self.rest = Bytes::new();
        }
        Some(next)
    }
}

impl std::iter::FusedIterator for Batches {}

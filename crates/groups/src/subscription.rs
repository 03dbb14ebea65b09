//! Reads which topics a member of a `consumer` group subscribes to.
//!
//! ```text
//! ConsumerProtocolSubscription, the prefix that all versions share (source: ConsumerProtocolSubscription.json):
//!   version i16 │ count i32 │ count × (length i16, UTF-8) │ user data: length i32 (-1 = none), bytes │ …
//! ```
//!
//! The metadata is bytes that a client chose: every length is checked against what is there, and nothing is
//! reserved on its word. Later versions append fields; they are not looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Why the metadata is not a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// A field reaches beyond the end.
    #[error("subscription ends within a field, {missing} bytes short")]
    Truncated {
        /// How many bytes are missing at least.
        missing: usize,
    },
    /// The version is negative.
    #[error("subscription version {version} is negative")]
    Version {
        /// The version.
        version: i16,
    },
    /// A length or count is negative.
    #[error("subscription holds the length {length}")]
    Length {
        /// The length.
        length: i32,
    },
    /// A topic's name isn't UTF-8.
    #[error("a topic name in the subscription is not UTF-8")]
    NotUtf8,
}

/// The topics that `metadata` subscribes to.
///
/// # Errors
/// If `metadata` does not begin with a well-formed subscription. The group then counts as subscribed to
/// everything, as in Kafka, so that no offset expires by mistake.
pub fn subscribed_topics(metadata: &[u8]) -> Result<BTreeSet<Arc<str>>, SubscriptionError> {
    let mut rest = metadata;
    let version = i16::from_be_bytes(take_array(&mut rest)?);
    if version < 0 {
        return Err(SubscriptionError::Version { version });
    }
    let count = i32::from_be_bytes(take_array(&mut rest)?);
    let count = usize::try_from(count).map_err(|_| SubscriptionError::Length { length: count })?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let length = i16::from_be_bytes(take_array(&mut rest)?);
        let length =
            usize::try_from(length).map_err(|_| SubscriptionError::Length { length: i32::from(length) })?;
        let name = std::str::from_utf8(take(&mut rest, length)?).map_err(|_| SubscriptionError::NotUtf8)?;
        topics.insert(Arc::from(name));
    }
    let user_data_length = i32::from_be_bytes(take_array(&mut rest)?);
    if user_data_length < -1 {
        return Err(SubscriptionError::Length { length: user_data_length });
    }
    take(&mut rest, usize::try_from(user_data_length).unwrap_or(0))?;
    Ok(topics)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], SubscriptionError> {
    let missing = length.saturating_sub(rest.len());
    let (head, tail) = rest.split_at_checked(length).ok_or(SubscriptionError::Truncated { missing })?;
    *rest = tail;
    Ok(head)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SubscriptionError> {
    let mut array = [0; N];
    array.copy_from_slice(take(rest, N)?);
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(version: i16, topics: &[&str], rest: &[u8]) -> Vec<u8> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend((topics.len() as i32).to_be_bytes());
        for topic in topics {
            bytes.extend((topic.len() as i16).to_be_bytes());
            bytes.extend(topic.as_bytes());
        }
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn reads_every_version_by_their_common_prefix() {
        let none = (-1_i32).to_be_bytes();
        let topics: BTreeSet<Arc<str>> = ["a", "b.c"].into_iter().map(Arc::from).collect();
        assert_eq!(subscribed_topics(&metadata(0, &["a", "b.c"], &none)), Ok(topics.clone()));
        let mut later = none.to_vec();
        later.extend([0, 0, 0, 7, 9, 9]); // fields of a version that isn't known here
        assert_eq!(subscribed_topics(&metadata(3, &["a", "b.c"], &later)), Ok(topics));
        assert_eq!(subscribed_topics(&metadata(1, &[], &[0, 0, 0, 1, 42])), Ok(BTreeSet::new()));
    }

    #[test]
    fn refuses_what_lies() {
        use SubscriptionError as E;
        let cases: &[(&[u8], E)] = &[
            (&[], E::Truncated { missing: 2 }),
            (&[0xff, 0xff], E::Version { version: -1 }),
            (&[0, 0, 0x7f, 0xff, 0xff, 0xff], E::Truncated { missing: 2 }),
            (&[0, 0, 0xff, 0xff, 0xff, 0xfe], E::Length { length: -2 }),
            (&[0, 0, 0, 0, 0, 1, 0x7f, 0xff, b'a'], E::Truncated { missing: 0x7fff - 1 }),
            (&[0, 0, 0, 0, 0, 1, 0xff, 0xff], E::Length { length: -1 }),
            (&[0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0, 0, 0, 0], E::NotUtf8),
            (&[0, 0, 0, 0, 0, 0], E::Truncated { missing: 4 }),
            (&[0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], E::Truncated { missing: 0x7fff_ffff }),
        ];
        for (bytes, error) in cases {
            assert_eq!(subscribed_topics(bytes).unwrap_err(), *error, "{bytes:?}");
        }
    }
}

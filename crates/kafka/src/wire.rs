//! Making the generated messages, which can't be written as struct literals outside of their crate.

/// A message with these fields, and Kafka's defaults for the others.
#[macro_export]
macro_rules! message {
    ($type:ty { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = <$type>::default();
        $(message.$field = $value;)*
        message
    }};
}

pub use crate::message;

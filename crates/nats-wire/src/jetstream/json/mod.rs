//! JSON as the reference speaks it: strict where it is strict, lenient where it is lenient, and with its messages.
//!
//! serde isn't used here: clients compare the reference's error texts, its field order and what it leaves out, and
//! what a request may make us allocate has to be bounded.
//!
//! [`go_struct!`] writes a struct down once, in the order of its fields on the wire, and makes both directions;
//! [`go_enum!`] does the same for what is a word on the wire.

mod base64;
mod decode;
mod encode;
mod quote;
mod scan;
mod value;

pub(crate) use base64::Base64;
pub use decode::DecodeError;
pub(crate) use decode::{Decode, DecodeFields, Place, decode_body, decode_object, decode_single};
pub(crate) use encode::{Encode, EncodeFields, Object};
pub(crate) use quote::quote;
pub(crate) use value::{Kind, Value};

/// A struct with the reference's name, fields in the order of the wire.
///
/// `name: Type` always stands, `name [omit]: Type` is left out when empty, `= "int"` says what Go calls the
/// type where ours doesn't tell, and `embeds name: Type` puts another struct's fields first (Go's embedding).
macro_rules! go_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $go:literal $(, embeds $embed:ident: $embed_type:ty)? {
            $($(#[$field_meta:meta])* $field:ident $([$omit:ident])?: $type:ty $(= $go_type:literal)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = concat!("The fields that it shares: [`", stringify!($embed_type), "`].")] pub $embed: $embed_type,)?
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::jetstream::json::Decode for $name {
            fn go_type() -> std::borrow::Cow<'static, str> {
                concat!("server.", $go).into()
            }

            fn decode(
                &mut self,
                value: $crate::jetstream::json::Value<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), $crate::jetstream::json::DecodeError> {
                $crate::jetstream::json::decode_object(self, value, place)
            }
        }

        impl $crate::jetstream::json::DecodeFields for $name {
            fn decode_field(
                &mut self,
                name: &str,
                exact: bool,
                value: $crate::jetstream::json::Value<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<bool, $crate::jetstream::json::DecodeError> {
                let same = |field: &str| if exact { name == field } else { name.eq_ignore_ascii_case(field) };
                $(
                    if same(go_struct!(@name $field)) {
                        let place = place.field(go_struct!(@name $field), go_struct!(@type $($go_type)?));
                        $crate::jetstream::json::Decode::decode(&mut self.$field, value, &place)?;
                        return Ok(true);
                    }
                )*
                $(
                    if $crate::jetstream::json::DecodeFields::decode_field(&mut self.$embed, name, exact, value, place)? {
                        return Ok(true);
                    }
                )?
                let _ = (&same, &value, place);
                Ok(false)
            }
        }

        impl $crate::jetstream::json::EncodeFields for $name {
            fn encode_fields(&self, object: &mut $crate::jetstream::json::Object<'_>) {
                $($crate::jetstream::json::EncodeFields::encode_fields(&self.$embed, object);)?
                $(go_struct!(@write object, self, $field, $($omit)?);)*
                let _ = object;
            }
        }

        impl $crate::jetstream::json::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::jetstream::json::Object::write(out, |object| {
                    $crate::jetstream::json::EncodeFields::encode_fields(self, object);
                });
            }

            fn is_empty(&self) -> bool {
                false
            }
        }

        impl $name {
            /// Decodes a body as the reference does: unknown fields are refused.
            ///
            /// # Errors
            /// What the reference says behind `invalid JSON: `.
            pub fn decode(body: &[u8]) -> Result<Self, $crate::jetstream::json::DecodeError> {
                let mut decoded = Self::default();
                $crate::jetstream::json::decode_body(&mut decoded, $go, body, true)?;
                Ok(decoded)
            }

            /// Decodes a body and passes over fields that aren't known here: for what a newer server answers.
            ///
            /// # Errors
            /// As [`Self::decode`].
            pub fn decode_lenient(body: &[u8]) -> Result<Self, $crate::jetstream::json::DecodeError> {
                let mut decoded = Self::default();
                $crate::jetstream::json::decode_body(&mut decoded, $go, body, false)?;
                Ok(decoded)
            }

            /// Encodes it as one JSON object.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(256);
                $crate::jetstream::json::Encode::encode(self, &mut out);
                out
            }
        }
    };
    (@name r#type) => { "type" };
    (@name $field:ident) => { stringify!($field) };
    (@type) => { None };
    (@type $go_type:literal) => { Some($go_type) };
    (@write $object:ident, $self:ident, $field:ident, ) => {
        $object.field(go_struct!(@name $field), &$self.$field);
    };
    (@write $object:ident, $self:ident, $field:ident, omit) => {
        $object.omit_empty(go_struct!(@name $field), &$self.$field);
    };
}
pub(crate) use go_struct;

/// A word on the wire; the first variant is the default. `refuse` gives the reference's message for another value,
/// of its raw JSON; `also "x" => Variant` are words that are understood and never written.
macro_rules! go_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $go:literal, refuse ($refuse:expr) $(, also { $($other:literal => $target:ident),* })? {
            $(#[$first_meta:meta])* $first:ident = $first_word:literal
            $(, $(#[$variant_meta:meta])* $variant:ident = $word:literal)* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[$first_meta])* #[default] $first,
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl $crate::jetstream::json::Decode for $name {
            fn go_type() -> std::borrow::Cow<'static, str> {
                concat!("server.", $go).into()
            }

            fn decode(
                &mut self,
                value: $crate::jetstream::json::Value<'_>,
                _place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), $crate::jetstream::json::DecodeError> {
                let raw = value.raw();
                if raw == concat!("\"", $first_word, "\"").as_bytes() {
                    *self = Self::$first;
                    return Ok(());
                }
                $(if raw == concat!("\"", $word, "\"").as_bytes() {
                    *self = Self::$variant;
                    return Ok(());
                })*
                $($(if raw == concat!("\"", $other, "\"").as_bytes() {
                    *self = Self::$target;
                    return Ok(());
                })*)?
                let refuse: fn(&[u8]) -> String = $refuse;
                Err($crate::jetstream::json::DecodeError::new(refuse(raw)))
            }
        }

        impl $crate::jetstream::json::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::jetstream::json::Encode::encode(self.as_str(), out);
            }

            fn is_empty(&self) -> bool {
                *self == Self::$first
            }
        }
    };
}
pub(crate) use go_enum;

/// The message of most words.
pub(crate) fn cannot_unmarshal(raw: &[u8]) -> String {
    format!("can not unmarshal {}", quote(raw))
}

#[cfg(test)]
mod tests;

//! From JSON into the structs, strictly: what isn't known is refused, with the reference's own words.
//!
//! The reference decodes value after value of a body into one struct, takes names without regard to case, and
//! leaves what is `null` as it was; so does this. Structs get their [`Decode`] from `go_struct!`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::quote::{quote, quote_char};
use super::scan::{SyntaxError, scan_value, skip_space};
use super::value::{Kind, Value};

/// Elements that one array or object of a request may hold. No request that makes sense comes near; without a
/// bound, `[{},{},…` would take a hundred times its own bytes.
pub(crate) const MAX_ELEMENTS: usize = 1 << 16;

/// Why a body was not taken. The `Display` is what stands behind `invalid JSON: ` in the reference's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        Self(error.to_string())
    }
}

impl DecodeError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Where in the request a value stands, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    name: &'a str,
    index: Option<usize>,
    /// What Go calls the field's type where our own type doesn't tell (`int`).
    go_type: Option<&'static str>,
    strict: bool,
}

impl<'a> Place<'a> {
    fn root(name: &'a str, strict: bool) -> Self {
        Self { outer: None, name, index: None, go_type: None, strict }
    }

    pub(crate) fn field(&'a self, name: &'a str, go_type: Option<&'static str>) -> Place<'a> {
        Self { outer: Some(self), name, index: None, go_type, strict: self.strict }
    }

    fn element(&'a self, index: usize) -> Place<'a> {
        Self { outer: Some(self), name: "", index: Some(index), go_type: None, strict: self.strict }
    }

    /// The same place, with what Go calls its type unless the field says another.
    pub(crate) fn typed(&self, go_type: &'static str) -> Place<'a> {
        Self { go_type: self.go_type.or(Some(go_type)), ..*self }
    }

    fn path(&self) -> String {
        let own = match self.index {
            Some(index) => index.to_string(),
            None => self.name.to_string(),
        };
        match self.outer {
            Some(outer) => format!("{}.{own}", outer.path()),
            None => own,
        }
    }

    /// `value` isn't what stands here.
    pub(crate) fn mismatch<T: Decode>(&self, value: Value<'_>) -> DecodeError {
        self.refuse(value.kind().name(), &T::go_type())
    }

    fn number<T: Decode>(&self, value: Value<'_>) -> DecodeError {
        self.refuse(&format!("number {}", String::from_utf8_lossy(value.raw())), &T::go_type())
    }

    fn refuse(&self, what: &str, go_type: &str) -> DecodeError {
        let go_type = self.go_type.unwrap_or(go_type);
        let place = match (self.outer, self.index) {
            (None, _) => "Go value".to_string(),
            (Some(_), Some(_)) => self.path(),
            (Some(_), None) => format!("Go struct field {}", self.path()),
        };
        DecodeError(format!("json: cannot unmarshal {what} into {place} of type {go_type}"))
    }

    /// What to do with a name that nothing has.
    pub(crate) fn unknown(&self, name: &str) -> Result<(), DecodeError> {
        if self.strict {
            Err(DecodeError(format!("json: unknown field {}", quote(name.as_bytes()))))
        } else {
            Ok(())
        }
    }
}

/// A type that a value can be decoded into.
pub(crate) trait Decode {
    /// What Go calls it.
    fn go_type() -> Cow<'static, str>;
    /// Takes the value over. `null` leaves things as they are.
    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError>;
}

/// A struct whose fields can be set by name.
pub(crate) trait DecodeFields {
    /// Whether there is a field of this name (`exact`, or without regard to case), and then sets it.
    fn decode_field(
        &mut self,
        name: &str,
        exact: bool,
        value: Value<'_>,
        place: &Place<'_>,
    ) -> Result<bool, DecodeError>;
}

/// The fields of an object, one after the other; the first that can't be taken ends it.
pub(crate) fn decode_object<T: Decode + DecodeFields>(
    target: &mut T,
    value: Value<'_>,
    place: &Place<'_>,
) -> Result<(), DecodeError> {
    match value.kind() {
        Kind::Null => return Ok(()),
        Kind::Object => {}
        _ => return Err(place.mismatch::<T>(value)),
    }
    for (name, value) in value.entries() {
        if !target.decode_field(&name, true, value, place)?
            && !target.decode_field(&name, false, value, place)?
        {
            place.unknown(&name)?;
        }
    }
    Ok(())
}

/// Decodes the body of a request: any number of values, each into the same struct.
pub(crate) fn decode_body<T: Decode>(
    target: &mut T,
    root: &'static str,
    body: &[u8],
    strict: bool,
) -> Result<(), DecodeError> {
    let place = Place::root(root, strict);
    let mut at = skip_space(body, 0);
    while at < body.len() {
        let end = scan_value(body, at)?;
        target.decode(Value::new(&body[at..end]), &place)?;
        at = skip_space(body, end);
    }
    Ok(())
}

/// Decodes a body that is one value and nothing else, with the messages of Go's `json.Unmarshal`, which differ from
/// those of its decoder. Unknown fields are passed over.
pub(crate) fn decode_single<T: Decode>(target: &mut T, body: &[u8]) -> Result<(), DecodeError> {
    let end = scan_value(body, 0).map_err(|error| DecodeError(error.without_place()))?;
    let behind = skip_space(body, end);
    if behind < body.len() {
        let (character, _) = quote_char(&body[behind..]);
        return Err(DecodeError(format!("invalid character {character} after top-level value")));
    }
    target.decode(Value::new(&body[skip_space(body, 0)..end]), &Place::root("", false))
}

impl Decode for String {
    fn go_type() -> Cow<'static, str> {
        "string".into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        match value.kind() {
            Kind::Null => {}
            Kind::String => *self = value.text().into_owned(),
            _ => return Err(place.mismatch::<Self>(value)),
        }
        Ok(())
    }
}

impl Decode for bool {
    fn go_type() -> Cow<'static, str> {
        "bool".into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        match value.kind() {
            Kind::Null => {}
            Kind::Bool => *self = value.raw().first() == Some(&b't'),
            _ => return Err(place.mismatch::<Self>(value)),
        }
        Ok(())
    }
}

macro_rules! decode_integer {
    ($($type:ty => $go:literal),* $(,)?) => {$(
        impl Decode for $type {
            fn go_type() -> Cow<'static, str> {
                $go.into()
            }

            fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
                match value.kind() {
                    Kind::Null => Ok(()),
                    Kind::Number => {
                        let parsed = std::str::from_utf8(value.raw()).ok().and_then(|text| text.parse().ok());
                        *self = parsed.ok_or_else(|| place.number::<Self>(value))?;
                        Ok(())
                    }
                    _ => Err(place.mismatch::<Self>(value)),
                }
            }
        }
    )*};
}

decode_integer! { i32 => "int32", i64 => "int64", u64 => "uint64" }

impl<T: Decode + Default> Decode for Option<T> {
    fn go_type() -> Cow<'static, str> {
        T::go_type()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        if value.kind() == Kind::Null {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().decode(value, place)
    }
}

impl<T: Decode + Default> Decode for Vec<T> {
    fn go_type() -> Cow<'static, str> {
        format!("[]{}", T::go_type()).into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        self.clear();
        match value.kind() {
            Kind::Null => return Ok(()),
            Kind::Array => {}
            _ => return Err(place.mismatch::<Self>(value)),
        }
        for (index, element) in value.elements().enumerate() {
            if index == MAX_ELEMENTS {
                return Err(DecodeError(format!(
                    "array {} has more than {MAX_ELEMENTS} elements",
                    place.path()
                )));
            }
            let mut decoded = T::default();
            decoded.decode(element, &place.element(index))?;
            self.push(decoded);
        }
        Ok(())
    }
}

impl Decode for BTreeMap<String, String> {
    fn go_type() -> Cow<'static, str> {
        "map[string]string".into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        match value.kind() {
            Kind::Null => {
                self.clear();
                return Ok(());
            }
            Kind::Object => {}
            _ => return Err(place.mismatch::<Self>(value)),
        }
        for (name, value) in value.entries() {
            if self.len() == MAX_ELEMENTS {
                return Err(DecodeError(format!(
                    "object {} has more than {MAX_ELEMENTS} fields",
                    place.path()
                )));
            }
            let mut text = String::new();
            text.decode(value, &place.field(&name, None))?;
            self.insert(name.into_owned(), text);
        }
        Ok(())
    }
}

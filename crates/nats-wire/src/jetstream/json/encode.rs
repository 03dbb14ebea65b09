//! From the structs into JSON, byte for byte as Go's encoder has it: no spaces, `<`, `>` and `&` escaped, fields
//! in the order of the reference's structs, empty ones left out where it leaves them out.

use std::collections::BTreeMap;

/// A value that can be written.
pub(crate) trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
    /// What Go's `omitempty` leaves out.
    fn is_empty(&self) -> bool;
}

/// A struct whose fields can be written into an object, alone or among others'.
pub(crate) trait EncodeFields {
    fn encode_fields(&self, object: &mut Object<'_>);
}

/// An object under way.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Writes one object.
    pub(crate) fn write(out: &'a mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        let mut object = Object { out, first: true };
        fields(&mut object);
        object.out.push(b'}');
    }

    /// A field that always stands.
    pub(crate) fn field(&mut self, name: &str, value: &(impl Encode + ?Sized)) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        name.encode(self.out);
        self.out.push(b':');
        value.encode(self.out);
    }

    /// A field that is left out when empty.
    pub(crate) fn omit_empty(&mut self, name: &str, value: &impl Encode) {
        if !value.is_empty() {
            self.field(name, value);
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        for character in self.chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        out.push(HEX[(character as usize >> shift) & 0xf]);
                    }
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Encode for &str {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }

    fn is_empty(&self) -> bool {
        str::is_empty(self)
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn is_empty(&self) -> bool {
        !*self
    }
}

macro_rules! encode_integer {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.to_string().as_bytes());
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

encode_integer! { u16, i32, i64, u64 }

/// `None` is Go's nil pointer or nil slice.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            value.encode(out);
        }
        out.push(b']');
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Encode> Encode for BTreeMap<String, T> {
    fn encode(&self, out: &mut Vec<u8>) {
        Object::write(out, |object| self.iter().for_each(|(name, value)| object.field(name, value)));
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

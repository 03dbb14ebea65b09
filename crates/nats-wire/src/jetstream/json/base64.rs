//! Bytes in JSON: standard base64 with padding, as Go writes a `[]byte`.

use super::encode::Encode;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes that are base64 on the wire.
pub(crate) struct Base64<'a>(pub(crate) &'a [u8]);

impl Encode for Base64<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.0.len().div_ceil(3) * 4 + 2);
        out.push(b'"');
        for chunk in self.0.chunks(3) {
            let [first, second, third] =
                [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
            let bits = u32::from(first) << 16 | u32::from(second) << 8 | u32::from(third);
            for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
                let padding = index > chunk.len();
                out.push(if padding { b'=' } else { ALPHABET[(bits >> shift) as usize & 63] });
            }
        }
        out.push(b'"');
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

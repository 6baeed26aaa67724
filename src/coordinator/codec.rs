//! The encodings of coordinator records: Kafka's classic and flexible primitives.

use bytes::Bytes;

/// Writes primitives, big-endian.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn i16(&mut self, value: i16) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn string(&mut self, text: &str) -> &mut Writer {
        self.i16(text.len() as i16);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn nullable_string(&mut self, text: Option<&str>) -> &mut Writer {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.i32(bytes.len() as i32);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn compact_string(&mut self, text: &str) -> &mut Writer {
        self.varint(text.len() as u32 + 1);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn varint(&mut self, mut value: u32) -> &mut Writer {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

/// Reads primitives; `None` where the bytes end too early or are no text.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    pub fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    pub fn nullable_string(&mut self) -> Option<Option<String>> {
        match usize::try_from(self.i16()?) {
            Ok(length) => Some(Some(String::from_utf8(self.take(length)?.to_vec()).ok()?)),
            Err(_) => Some(None),
        }
    }

    pub fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.i32()?).ok()?;
        Some(Bytes::copy_from_slice(self.take(length)?))
    }

    pub fn compact_string(&mut self) -> Option<String> {
        let length = self.varint()?.checked_sub(1)? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    pub fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

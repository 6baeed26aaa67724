//! Kafka's primitive encodings, both the classic one and the compact one (KIP-482), as far as records of groups need them.
//!
//! Never reserves memory for a count that the bytes only claim.

use std::fmt;

use uuid::Uuid;

use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Bytes without a length before them.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }

    pub fn nullable_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.i32(bytes.len() as i32).raw(bytes)
    }

    pub fn compact_string(&mut self, text: &str) -> &mut Self {
        self.compact_bytes(text.as_bytes())
    }

    pub fn compact_nullable_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.compact_string(text),
            None => self.varint(0),
        }
    }

    pub fn compact_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(bytes.len() as u32 + 1).raw(bytes)
    }

    /// The count before a compact array's elements.
    pub fn compact_count(&mut self, count: usize) -> &mut Self {
        self.varint(count as u32 + 1)
    }

    pub fn compact_strings(&mut self, texts: &[String]) -> &mut Self {
        self.compact_count(texts.len());
        for text in texts {
            self.compact_string(text);
        }
        self
    }

    pub fn no_tags(&mut self) -> &mut Self {
        self.varint(0)
    }

    /// Tagged field 0 and no other.
    pub fn one_tag(&mut self, content: &[u8]) -> &mut Self {
        self.varint(1).varint(0).varint(content.len() as u32).raw(content)
    }

    /// A compact array of (topic id, partitions) structures.
    pub fn assignment(&mut self, assignment: &Assignment) -> &mut Self {
        self.compact_count(assignment.len());
        for (topic, partitions) in assignment {
            self.raw(topic.0.as_bytes()).compact_count(partitions.len());
            for partition in partitions {
                self.i32(*partition);
            }
            self.no_tags();
        }
        self
    }
}

/// What the bytes cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("taken with that size"))
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value: u32 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.array::<1>()?[0];
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number longer than five bytes"))
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let size = self.i32()?;
        usize::try_from(size).ok().map(|size| self.take(size)).transpose()
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.nullable_bytes()?.ok_or(Malformed("null bytes"))
    }

    pub fn nullable_string(&mut self) -> Result<Option<String>, Malformed> {
        let size = self.i16()?;
        usize::try_from(size).ok().map(|size| text(self.take(size)?)).transpose()
    }

    pub fn string(&mut self) -> Result<String, Malformed> {
        self.nullable_string()?.ok_or(Malformed("a null string"))
    }

    pub fn compact_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.varint()? {
            0 => Ok(None),
            size => self.take(size as usize - 1).map(Some),
        }
    }

    pub fn compact_nullable_string(&mut self) -> Result<Option<String>, Malformed> {
        self.compact_bytes()?.map(text).transpose()
    }

    pub fn compact_string(&mut self) -> Result<String, Malformed> {
        self.compact_nullable_string()?.ok_or(Malformed("a null string"))
    }

    /// Elements of a compact array; a null array has none.
    pub fn compact_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.varint()?.saturating_sub(1);
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Elements of an array with a plain count; a null array has none.
    pub fn array_of<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.i32()?;
        let mut elements = Vec::new();
        for _ in 0..count.max(0) {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Hands each tagged field to `field`; one that it does not know is skipped.
    pub fn tags(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()?;
            let mut content = Reader(self.take(size as usize)?);
            field(tag, &mut content)?;
        }
        Ok(())
    }

    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        self.tags(|_, _| Ok(()))
    }

    pub fn topic_id(&mut self) -> Result<TopicId, Malformed> {
        Ok(TopicId(Uuid::from_bytes(self.array()?)))
    }

    pub fn assignment(&mut self) -> Result<Assignment, Malformed> {
        let topics = self.compact_array(|r| {
            let topic = r.topic_id()?;
            let partitions = r.compact_array(Reader::i32)?;
            r.skip_tags()?;
            Ok((topic, partitions.into_iter().collect()))
        })?;
        Ok(topics.into_iter().collect())
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a string that is not UTF-8"))
}

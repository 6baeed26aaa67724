//! The four codecs in the framings that Kafka uses: gzip, snappy (xerial blocks, raw accepted), lz4 frames, zstd.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use super::batch::{BatchHeader, HEADER_BYTES};

/// What a batch may grow to when it is opened. A larger one is refused (MESSAGE_TOO_LARGE), however small it came.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug)]
pub enum DecompressError {
    /// More than the bound.
    TooLarge,
    /// Not what the codec says.
    Malformed(String),
}

impl Codec {
    pub fn from_bits(bits: i16) -> Option<Codec> {
        [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].get(bits as usize).copied()
    }

    pub fn bits(self) -> i16 {
        self as i16
    }
}

/// Opens the records of a batch, up to `bytes_max`.
pub fn decompress(codec: Codec, data: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    match codec {
        Codec::None => Ok(data.to_vec()),
        Codec::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(data), bytes_max),
        Codec::Snappy => snappy_decompress(data, bytes_max),
        Codec::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(data), bytes_max),
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(malformed)?;
            read_bounded(decoder, bytes_max)
        }
    }
}

/// The records of a whole batch, opened. An error says why that cannot be.
pub fn open<'a>(batch: &'a [u8], header: &BatchHeader) -> io::Result<Cow<'a, [u8]>> {
    let records = batch.get(HEADER_BYTES..).unwrap_or_default();
    match Codec::from_bits(header.codec_bits()) {
        None => Err(io::Error::other("an unknown codec")),
        Some(Codec::None) => Ok(Cow::Borrowed(records)),
        Some(codec) => decompress(codec, records, DECOMPRESSED_BYTES_MAX)
            .map(Cow::Owned)
            .map_err(|_| io::Error::other("its records cannot be decompressed")),
    }
}

/// Packs records. `level` is the codec's own scale; codecs without one ignore it.
pub fn compress(codec: Codec, level: i32, data: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(data.to_vec()),
        Codec::Gzip => {
            let level = if level < 0 { flate2::Compression::default() } else { flate2::Compression::new(level as u32) };
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(data)?;
            encoder.finish()
        }
        Codec::Snappy => snappy_compress(data),
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(data)?;
            encoder.finish().map_err(io::Error::other)
        }
        Codec::Zstd => zstd::stream::encode_all(data, level),
    }
}

fn malformed(error: impl std::fmt::Display) -> DecompressError {
    DecompressError::Malformed(error.to_string())
}

fn read_bounded(reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut out).map_err(malformed)?;
    if out.len() > bytes_max { Err(DecompressError::TooLarge) } else { Ok(out) }
}

const XERIAL_MAGIC: &[u8; 8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

fn snappy_decompress(data: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    if !data.starts_with(XERIAL_MAGIC) {
        snappy_block(data, bytes_max, &mut out)?;
        return Ok(out);
    }
    // Magic, version, compatible version, then blocks of a length and raw snappy.
    let mut rest = data.get(16..).ok_or_else(|| malformed("snappy header cut short"))?;
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(4).ok_or_else(|| malformed("snappy block length cut short"))?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let (block, tail) = tail.split_at_checked(length).ok_or_else(|| malformed("snappy block cut short"))?;
        snappy_block(block, bytes_max, &mut out)?;
        rest = tail;
    }
    Ok(out)
}

fn snappy_block(block: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let length = snap::raw::decompress_len(block).map_err(malformed)?;
    let start = out.len();
    if start + length > bytes_max {
        return Err(DecompressError::TooLarge);
    }
    // A snappy copy element yields at most 64 bytes from 2: a length beyond that is a lie, not worth its memory.
    if length > block.len().saturating_mul(64) {
        return Err(malformed("snappy length that its data cannot hold"));
    }
    out.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(malformed)?;
    Ok(())
}

fn snappy_compress(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = XERIAL_MAGIC.to_vec();
    out.extend_from_slice(&1u32.to_be_bytes());
    out.extend_from_slice(&1u32.to_be_bytes());
    for block in data.chunks(XERIAL_BLOCK_BYTES) {
        let packed = snap::raw::Encoder::new().compress_vec(block).map_err(io::Error::other)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    #[test]
    fn every_codec_round_trips() {
        let data: Vec<u8> = (0..200_000u32).flat_map(|i| (i % 977).to_be_bytes()).collect();
        for codec in ALL {
            let packed = compress(codec, 3, &data).expect("compress");
            assert_eq!(decompress(codec, &packed, data.len()).expect("decompress"), data, "{codec:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let data = vec![0u8; 4 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, 3, &data).expect("compress");
            assert!(matches!(decompress(codec, &packed, 1 << 20), Err(DecompressError::TooLarge)), "{codec:?}");
        }
    }

    #[test]
    fn garbage_is_malformed() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let error = decompress(codec, b"\xff\xff\xff\xff\x7fnot packed", 1 << 20);
            assert!(matches!(error, Err(DecompressError::Malformed(_) | DecompressError::TooLarge)), "{codec:?}");
        }
    }
}

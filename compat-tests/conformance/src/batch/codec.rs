//! The four codecs with the framings that Kafka uses for them.

use std::io::{Read, Write};

/// The codec bits of a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
    /// No codec has this number.
    Seven = 7,
}

pub const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

impl Codec {
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
            Codec::Seven => "codec 7",
        }
    }

    pub fn of_attributes(attributes: i16) -> Codec {
        match attributes & 7 {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => Codec::Seven,
        }
    }
}

/// Snappy comes in the framing of snappy-java: this header, then blocks with their lengths.
const SNAPPY_HEADER: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

pub fn compress(codec: Codec, plain: &[u8]) -> bytes::Bytes {
    let fits = "writing to memory does not fail";
    match codec {
        Codec::None | Codec::Seven => plain.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect(fits);
            encoder.finish().expect(fits)
        }
        Codec::Snappy => {
            let block = snap::raw::Encoder::new().compress_vec(plain).expect(fits);
            let mut out = SNAPPY_HEADER.to_vec();
            out.extend_from_slice(&(block.len() as u32).to_be_bytes());
            out.extend_from_slice(&block);
            out
        }
        Codec::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(plain).expect(fits);
            encoder.finish().expect(fits)
        }
        Codec::Zstd => zstd::encode_all(plain, 3).expect(fits),
    }
    .into()
}

pub fn decompress(codec: Codec, packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match codec {
        Codec::None => out.extend_from_slice(packed),
        Codec::Gzip => {
            flate2::read::GzDecoder::new(packed).read_to_end(&mut out).map_err(|e| e.to_string())?;
        }
        Codec::Snappy => out = unsnap(packed)?,
        Codec::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(packed).read_to_end(&mut out).map_err(|e| e.to_string())?;
        }
        Codec::Zstd => out = zstd::decode_all(packed).map_err(|e| e.to_string())?,
        Codec::Seven => return Err("no such codec".into()),
    }
    Ok(out)
}

fn unsnap(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = snap::raw::Decoder::new();
    let Some(mut rest) = packed.strip_prefix(SNAPPY_HEADER) else {
        return decoder.decompress_vec(packed).map_err(|e| e.to_string());
    };
    let mut out = Vec::new();
    while rest.len() >= 4 {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        let block = rest.get(4..4 + length).ok_or("a block cut short")?;
        out.extend_from_slice(&decoder.decompress_vec(block).map_err(|e| e.to_string())?);
        rest = &rest[4 + length..];
    }
    Ok(out)
}

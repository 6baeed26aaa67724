//! The four compressions with Kafka's framings, for building and reading batches by hand.

use std::io::{Read, Write};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// Snappy as snappy-java frames it: this magic, two versions, then blocks with a length each.
const XERIAL_HEADER: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    pub fn from_attributes(attributes: i16) -> Codec {
        Codec::ALL[usize::from(attributes as u16 & 7).min(4)]
    }

    /// As `compression.type` and librdkafka's `compression.codec` call it.
    pub fn name(self) -> &'static str {
        ["none", "gzip", "snappy", "lz4", "zstd"][self as usize]
    }

    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        self.compress_stream(&mut &*bytes)
    }

    /// Compresses whatever the reader gives: a bomb need not be in memory.
    pub fn compress_stream(self, reader: &mut dyn Read) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Codec::None => drop(reader.read_to_end(&mut out).expect("memory can be read")),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
                std::io::copy(reader, &mut encoder).expect("memory can be written");
                encoder.finish().expect("memory can be written");
            }
            Codec::Snappy => {
                out.write_all(XERIAL_HEADER).expect("memory can be written");
                let mut block = vec![0; XERIAL_BLOCK_BYTES];
                loop {
                    let length = read_full(reader, &mut block);
                    if length == 0 {
                        break;
                    }
                    let packed = snap::raw::Encoder::new().compress_vec(&block[..length]).expect("a small block");
                    out.extend((packed.len() as u32).to_be_bytes());
                    out.extend(packed);
                }
            }
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut out);
                std::io::copy(reader, &mut encoder).expect("memory can be written");
                encoder.finish().expect("memory can be written");
            }
            Codec::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(&mut out, 1).expect("a valid level");
                std::io::copy(reader, &mut encoder).expect("memory can be written");
                encoder.finish().expect("memory can be written");
            }
        }
        out
    }

    pub fn decompress(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match self {
            Codec::None => out.extend_from_slice(bytes),
            Codec::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).map_err(text)?),
            Codec::Lz4 => drop(lz4_flex::frame::FrameDecoder::new(bytes).read_to_end(&mut out).map_err(text)?),
            Codec::Zstd => {
                zstd::stream::read::Decoder::new(bytes).map_err(text)?.read_to_end(&mut out).map_err(text)?;
            }
            Codec::Snappy if bytes.starts_with(&XERIAL_HEADER[..8]) => {
                let mut rest = &bytes[XERIAL_HEADER.len()..];
                while let Some((length, tail)) = rest.split_first_chunk() {
                    let (block, tail) =
                        tail.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or("short snappy block")?;
                    out.extend(snap::raw::Decoder::new().decompress_vec(block).map_err(text)?);
                    rest = tail;
                }
            }
            Codec::Snappy => out = snap::raw::Decoder::new().decompress_vec(bytes).map_err(text)?,
        }
        Ok(out)
    }
}

fn read_full(reader: &mut dyn Read, block: &mut [u8]) -> usize {
    let mut length = 0;
    while length < block.len() {
        match reader.read(&mut block[length..]).expect("memory can be read") {
            0 => break,
            more => length += more,
        }
    }
    length
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for codec in Codec::ALL {
            assert_eq!(codec.decompress(&codec.compress(&bytes)), Ok(bytes.clone()), "{codec:?}");
        }
    }
}

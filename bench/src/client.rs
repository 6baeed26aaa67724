//! One blocking connection for what surrounds a measurement: creating topics, asking for metadata.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bytes::{Buf, BufMut};

use crate::Result;
use crate::wire::{self, get_string, put_string, skip};

const ANSWER_SECONDS_MAX: u64 = 60;

pub struct Client {
    stream: TcpStream,
}

impl Client {
    pub fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
        Ok(Client { stream })
    }

    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frame)?)
    }

    /// The next answer, without its length.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    pub fn call(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        self.send(frame)?;
        self.receive()
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub fn create_topic(&mut self, name: &str, partitions: usize, configs: &[(&str, &str)]) -> Result<()> {
        let frame = wire::request(wire::CREATE_TOPICS, 2, |body| {
            body.put_i32(1);
            put_string(body, name.as_bytes());
            body.put_i32(partitions as i32);
            body.put_i16(1);
            body.put_i32(0);
            body.put_i32(configs.len() as i32);
            for (key, value) in configs {
                put_string(body, key.as_bytes());
                put_string(body, value.as_bytes());
            }
            body.put_i32(30_000);
            body.put_u8(0);
        });
        let answer = self.call(&frame)?;
        expect_no_error("CreateTopics", &answer, 12)
    }

    pub fn delete_topic(&mut self, name: &str) -> Result<()> {
        let frame = wire::request(wire::DELETE_TOPICS, 1, |body| {
            body.put_i32(1);
            put_string(body, name.as_bytes());
            body.put_i32(30_000);
        });
        let answer = self.call(&frame)?;
        expect_no_error("DeleteTopics", &answer, 12)
    }

    /// How many brokers and how many partitions there are, of one topic or of all.
    pub fn metadata(&mut self, topic: Option<&str>) -> Result<(usize, usize)> {
        let answer = self.call(&wire::request(wire::METADATA, 1, |body| match topic {
            Some(name) => {
                body.put_i32(1);
                put_string(body, name.as_bytes());
            }
            None => body.put_i32(-1),
        }))?;
        let mut rest = &answer[..];
        skip(&mut rest, 4)?;
        let brokers = rest.try_get_i32()?;
        for _ in 0..brokers {
            skip(&mut rest, 4)?;
            get_string(&mut rest)?; // host
            skip(&mut rest, 4)?;
            get_string(&mut rest)?; // rack
        }
        skip(&mut rest, 4)?; // controller
        let mut partitions = 0;
        for _ in 0..rest.try_get_i32()? {
            skip(&mut rest, 2)?;
            get_string(&mut rest)?;
            skip(&mut rest, 1)?; // internal
            let count = rest.try_get_i32()?;
            for _ in 0..count {
                skip(&mut rest, 10)?; // error, index, leader
                for _replicas_then_isr in 0..2 {
                    let nodes = rest.try_get_i32()?.max(0) as usize;
                    skip(&mut rest, nodes * 4)?;
                }
            }
            partitions += count as usize;
        }
        Ok((brokers as usize, partitions))
    }
}

/// The answer about one topic: its name and error code stand after `before` bytes.
fn expect_no_error(api: &str, answer: &[u8], before: usize) -> Result<()> {
    let mut rest = answer;
    skip(&mut rest, before)?;
    get_string(&mut rest)?;
    match rest.try_get_i16()? {
        0 => Ok(()),
        code => Err(format!("{api} answered error {code}").into()),
    }
}

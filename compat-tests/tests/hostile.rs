//! Frames that no client sends: a broker answers or closes, and nobody else feels it.

#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compat_tests::batch::{Batch, HEADER_BYTES, Record, put_varint, seal};
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{code, produce_request};
use compat_tests::codec::Codec;
use compat_tests::samples::{self, TOPIC};
use compat_tests::wire::{Client, encode_frame, raw_frame};
use compat_tests::{Random, SetOnDrop, wait_until};
use kafka_protocol::messages::{ApiKey, MetadataRequest};
use uuid::Uuid;

/// Resident memory that no attack here may push an unoptimised broker beyond: Ottla's bound for requests in flight is
/// 128 MiB.
const RESIDENT_BYTES_MAX: u64 = 400 << 20;
/// How long a connection may stay silent before the next frame takes another.
const SILENCE: Duration = Duration::from_millis(60);
const THREADS: usize = 4;
/// For requests in flight, where a test fills it.
const POOL_BYTES: usize = 32 << 20;

struct Target {
    broker: Broker,
    topic_id: Uuid,
}

impl Target {
    fn start() -> Target {
        Target::of(Options::new())
    }

    fn of(options: Options) -> Target {
        let options = options.argument("--ephemeral").set("auto.create.topics.enable", "false");
        let broker = if std::env::var_os("OTTLA_TEST_BOOTSTRAP").is_some() { Broker::any() } else { options.start() };
        let mut client = broker.client();
        client.create_topic(TOPIC, 2, &[]).expect("answered");
        client.must_produce(TOPIC, 0, &Batch::of_values(["one"]));
        Target { topic_id: client.topic(TOPIC).expect("answered").topic_id, broker }
    }

    /// Every key and version served, with a valid body. Produce 0-2 are advertised, and no codec has them.
    fn served(&self) -> Vec<(i16, i16, Bytes)> {
        let mut served = Vec::new();
        for range in self.broker.client().api_versions().expect("answered") {
            let Ok(key) = ApiKey::try_from(range.api_key) else {
                assert!(self.broker.is_external(), "key {} is served and the codec does not know it", range.api_key);
                continue;
            };
            for version in range.min_version..=range.max_version {
                match samples::body(key, version, self.topic_id) {
                    Some(body) => served.push((range.api_key, version, body)),
                    None if key == ApiKey::Produce && version < 3 => {}
                    None if self.broker.is_external() => {}
                    None => panic!("{key:?} version {version} is served and has no sample: add it to samples.rs"),
                }
            }
        }
        assert!(served.len() > 60, "{} keys and versions", served.len());
        served
    }

    /// Sends every frame on whatever connection is left open by the one before.
    fn bombard(&self, frames: impl Iterator<Item = Vec<u8>> + Send) {
        let frames = std::sync::Mutex::new(frames);
        let address = self.broker.bootstrap();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut connection: Option<Client> = None;
                    loop {
                        let next = frames.lock().expect("frames").next();
                        let Some(frame) = next else { break };
                        let mut client = connection.take().unwrap_or_else(|| connect(&address));
                        if client.send_raw(&frame).is_ok() && client.read_frame().is_ok() {
                            connection = Some(client);
                        }
                    }
                });
            }
        });
    }

    /// Alive, small, and of service to others.
    #[track_caller]
    fn assert_well(&mut self, after: &str) {
        self.broker.client().assert_undisturbed();
        if !self.broker.is_external() {
            assert!(self.broker.is_alive(), "dead after {after}");
            let bytes = self.broker.resident_bytes();
            assert!(bytes < RESIDENT_BYTES_MAX, "{} MiB resident after {after}", bytes >> 20);
        }
    }

    /// Runs the attack while a neighbour keeps producing and reading, who must not notice.
    fn attack(&mut self, name: &str, attack: impl FnOnce(&Target)) {
        let done = AtomicBool::new(false);
        let mut neighbour = self.broker.client();
        let (slowest, peak) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let (mut slowest, mut peak) = (Duration::ZERO, 0);
                while !done.load(Ordering::SeqCst) {
                    let start = Instant::now();
                    let offset = neighbour.must_produce(TOPIC, 1, &Batch::of_values(["neighbour"]));
                    let data = neighbour.fetch(TOPIC, 1, offset).expect("the neighbour is answered");
                    assert!(data.records.is_some_and(|records| !records.is_empty()));
                    slowest = slowest.max(start.elapsed());
                    if !self.broker.is_external() {
                        peak = peak.max(self.broker.resident_bytes());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                (slowest, peak)
            });
            // Also when the attack panics, or the scope would wait for the neighbour forever.
            let stop = SetOnDrop(&done);
            attack(self);
            drop(stop);
            watch.join().expect("the neighbour is undisturbed")
        });
        assert!(slowest < Duration::from_secs(3), "the neighbour waited {slowest:?} during {name}");
        assert!(peak < RESIDENT_BYTES_MAX, "{} MiB resident during {name}", peak >> 20);
        self.assert_well(name);
    }
}

fn connect(address: &str) -> Client {
    let client = Client::connect(address).expect("the broker accepts");
    client.set_answer_limit(SILENCE);
    // Closed with a reset: hundreds of thousands of connections must not wait for their time-outs.
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: an open socket and a value of the size named.
    unsafe {
        let (value, size) = (std::ptr::from_ref(&linger).cast(), size_of::<libc::linger>() as u32);
        let socket = std::os::fd::AsRawFd::as_raw_fd(client.stream());
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, value, size);
    }
    client
}

#[test]
fn frame_lengths() {
    let mut target = Target::start();
    target.attack("frame lengths", |target| {
        for length in [0, 1, 2, 7, i32::MAX, i32::MAX - 1, 104_857_601, -1, i32::MIN] {
            for body in [&b""[..], b"\0", b"\0\x12\0\x03\0\0\0\x01\0\0\0"] {
                let mut client = target.broker.client();
                let _ = client.send_raw(&[&length.to_be_bytes()[..], body].concat());
                let _ = client.stream().shutdown(Shutdown::Write);
                assert!(client.is_closed_within(Duration::from_secs(5)), "length {length} with {body:?}");
            }
            // Without a shutdown: a length that can never be right is no reason to wait.
            if !(1..=104_857_600).contains(&length) {
                let mut client = target.broker.client();
                client.send_raw(&length.to_be_bytes()).expect("sent");
                assert!(client.is_closed_within(Duration::from_secs(5)), "length {length}");
            }
        }
    });
}

/// Names as long as the old string format carries: a message that repeats one does not fit any more.
#[test]
fn names_that_leave_no_room_for_the_message() {
    let mut target = Target::start();
    target.attack("endless names", |target| {
        for length in [249, 250, 32_700, 32_767] {
            let mut frame = vec![0, 19, 0, 2, 0, 0, 0, 1, 0xff, 0xff];
            frame.extend_from_slice(&1i32.to_be_bytes());
            frame.extend_from_slice(&(length as i16).to_be_bytes());
            frame.extend(std::iter::repeat_n(b'a', length));
            frame.extend_from_slice(&1i32.to_be_bytes());
            frame.extend_from_slice(&1i16.to_be_bytes());
            frame.extend_from_slice(&[0; 8]);
            frame.extend_from_slice(&5000i32.to_be_bytes());
            frame.push(1);
            let mut client = target.broker.client();
            client.send_raw(&[&(frame.len() as i32).to_be_bytes()[..], &frame].concat()).expect("sent");
            // Answered, or closed where the answer cannot be written.
            let answered = client.read_frame().is_ok();
            assert_eq!(answered, length < 32_000, "a name of {length} bytes");
        }
    });
}

#[test]
fn every_request_truncated_at_every_byte() {
    let mut target = Target::start();
    let served = target.served();
    target.attack("truncated requests", |target| {
        let frames = served.iter().flat_map(|(key, version, body)| {
            (0..body.len()).map(|end| raw_frame(*key, *version, 1, &body[..end]).to_vec())
        });
        target.bombard(frames);
        // And cut on the wire: the frame claims all of it and the sender goes away.
        for (key, version, body) in &served {
            let frame = raw_frame(*key, *version, 1, body);
            let mut stream = TcpStream::connect(target.broker.bootstrap()).expect("the broker accepts");
            stream.write_all(&frame[..frame.len() * 2 / 3]).expect("sent");
        }
    });
}

#[test]
fn counts_and_lengths_of_two_billion() {
    let mut target = Target::start();
    let served = target.served();
    target.attack("huge counts", |target| {
        let frames = served.iter().flat_map(|(key, version, body)| {
            (0..body.len()).flat_map(move |at| {
                // As the count of an ordinary array, the length of a string, and of either in a flexible version.
                let patches: [&[u8]; 4] =
                    [&[0x7f, 0xff, 0xff, 0xff], &[0x7f, 0xff], &[0x80, 0x80, 0x80, 0x80, 0x08], &[0xff; 5]];
                patches.into_iter().map(move |patch| {
                    let rest = if patch.len() == 5 { at + 1 } else { (at + patch.len()).min(body.len()) };
                    raw_frame(*key, *version, 1, &[&body[..at], patch, &body[rest..]].concat()).to_vec()
                })
            })
        });
        target.bombard(frames);
    });
}

/// 10,000 for every key and version; `OTTLA_HOSTILE_BODIES` asks for more or fewer.
#[test]
fn random_bodies() {
    let count: usize = std::env::var("OTTLA_HOSTILE_BODIES").map_or(10_000, |count| count.parse().expect("a number"));
    let mut target = Target::start();
    let served = target.served();
    for (key, version, body) in served {
        let mut random = Random::new(((key as u64) << 16) | version as u64);
        target.attack(&format!("random bodies of key {key} version {version}"), |target| {
            // Every other one is valid but for a few bytes: those get further.
            let frames = (0..count).map(|n| {
                let mut bytes = body.to_vec();
                if n % 2 == 0 {
                    bytes = vec![0; random.below(200)];
                    random.fill(&mut bytes);
                }
                for _ in 0..if bytes.is_empty() { 0 } else { 1 + random.below(4) } {
                    let at = random.below(bytes.len());
                    bytes[at] = random.number() as u8;
                }
                raw_frame(key, version, n as i32, &bytes).to_vec()
            });
            target.bombard(frames);
        });
    }
}

#[test]
fn compressed_bombs() {
    const BOMB_BYTES: u64 = 512 << 20;
    let mut target = Target::start();
    let mut client = target.broker.client();
    // These look inside; the others store what they got.
    let inside = [("compacted", "cleanup.policy", "compact"), ("recompressed", "compression.type", "uncompressed")];
    let outside = [("appended", "message.timestamp.type", "LogAppendTime"), ("plain", "compression.type", "producer")];
    for (topic, key, value) in inside.into_iter().chain(outside) {
        let configs = [(key, value), ("max.message.bytes", "60000000")];
        assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), 0, "{topic}");
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut prefix = Vec::new();
        put_varint(&mut prefix, BOMB_BYTES as i64 + 16);
        prefix.extend([0, 0, 0, 2, b'k']);
        put_varint(&mut prefix, BOMB_BYTES as i64);
        let body = codec.compress_stream(&mut prefix.chain(std::io::repeat(0).take(BOMB_BYTES + 1)));
        let record = Record { timestamp: compat_tests::now_ms(), ..Record::default() };
        let bomb = Batch { records: vec![record], codec, body: Some(body), ..Batch::default() }.build();
        target.attack(&format!("a bomb of {} bytes in {codec:?}", bomb.len()), |target| {
            let mut client = target.broker.client();
            for (topic, ..) in inside {
                let answer = client.produce(topic, 0, bomb.clone()).expect("answered");
                assert_eq!(answer.error_code, code::MESSAGE_TOO_LARGE, "{codec:?} into `{topic}`");
            }
            for (topic, ..) in outside {
                let answer = client.produce(topic, 0, bomb.clone()).expect("answered");
                assert!([code::NONE, code::MESSAGE_TOO_LARGE].contains(&answer.error_code), "{codec:?} into `{topic}`");
            }
        });
    }
}

#[test]
fn damaged_batches() {
    let mut target = Target::start();
    let good = Batch::of_values((0..20).map(|n| format!("value {n}"))).keyed("key");
    for codec in Codec::ALL {
        let bytes = good.clone().with_codec(codec).build();
        let mut random = Random::new(codec as u64);
        target.attack(&format!("damaged batches, {codec:?}"), |target| {
            let (mut client, mut accepted) = (target.broker.client(), 0);
            for n in 0..1000 {
                let mut damaged = bytes.to_vec();
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
                // Half of them with a right checksum over the wrong content.
                if n % 2 == 0 {
                    seal(&mut damaged);
                }
                match client.produce(TOPIC, 0, Bytes::from(damaged)) {
                    Ok(answer) => accepted += u32::from(answer.error_code == 0),
                    Err(_) => client = target.broker.client(),
                }
            }
            assert!(accepted < 1000, "not all can be right");
            // What was accepted can be read, or the topic would be stuck.
            let end = client.offset_at(TOPIC, 0, -1);
            assert!(client.fetch(TOPIC, 0, end - 1).is_ok_and(|data| data.error_code == 0));
        });
    }
}

#[test]
fn null_and_empty_records_are_answered() {
    let mut target = Target::start();
    if target.broker.is_external() {
        // Apache Kafka never answers null records.
        return;
    }
    let mut client = target.broker.client();
    let mut null = produce_request(TOPIC, 0, Bytes::new());
    null.topic_data[0].partition_data[0].records = None;
    for request in [null, produce_request(TOPIC, 0, Bytes::new())] {
        let answer = client.call(9, &request).expect("answered");
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 87, "INVALID_RECORD");
    }
    for length in 1..HEADER_BYTES {
        let batch = Batch::of_values(["x"]).build().slice(..length);
        let answer = client.produce(TOPIC, 0, batch).expect("answered");
        assert_ne!(answer.error_code, 0, "{length} bytes of a batch");
    }
    target.assert_well("null records");
}

#[test]
fn stalled_senders_hold_back_nobody() {
    if std::env::var_os("OTTLA_TEST_BOOTSTRAP").is_some() {
        // Apache Kafka takes the memory at the claim and stands still.
        return;
    }
    let options = Options::new().set("queued.max.request.bytes", POOL_BYTES);
    let mut target = Target::of(options.set("socket.request.max.bytes", POOL_BYTES));
    target.attack("stalled senders", |target| {
        // Small frames of which only a part comes: nobody waits for what they hold.
        let mut patient: Vec<_> = (0..100).map(|n| stalled_sender(target, 50_000, n * 400)).collect();
        // And some that bring more than all there is together, and then stall.
        let before = target.broker.resident_bytes();
        let mut greedy: Vec<_> = (0..3).map(|_| stalled_sender(target, POOL_BYTES, POOL_BYTES * 9 / 10)).collect();
        let is_held = || target.broker.resident_bytes() > before + POOL_BYTES as u64 / 2;
        wait_until("the senders hold memory", Duration::from_secs(10), is_held);
        // Large requests need what they hold, and get it.
        let batch = Batch::of_values(["x".repeat(900_000)]);
        for _ in 0..3 {
            target.broker.client().must_produce(TOPIC, 0, &batch);
        }
        wait_until("senders that others wait for are closed", Duration::from_secs(30), || {
            greedy.iter_mut().any(is_closed)
        });
        let said = |line: &&String| line.contains("a stalled frame held memory that others waited for");
        assert!(target.broker.log().iter().filter(said).count() >= 1, "the log says why");
        assert!(!patient.iter_mut().any(is_closed), "who is in nobody's way may take its time");
    });
}

/// Claims a frame and sends so many bytes of it, or as many as are taken.
fn stalled_sender(target: &Target, claim: usize, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(target.broker.bootstrap()).expect("the broker accepts");
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a positive time-out");
    stream.write_all(&(claim as i32).to_be_bytes()).expect("sent");
    let chunk = vec![0; 1 << 20];
    for from in (0..bytes).step_by(chunk.len()) {
        if stream.write_all(&chunk[..chunk.len().min(bytes - from)]).is_err() {
            break;
        }
    }
    stream.set_nonblocking(true).expect("an open socket");
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !stream.read(&mut [0; 64]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = Target::start();
    let mut client = target.broker.client();
    let mut bytes = Vec::new();
    for id in 1..=200 {
        let batch = Batch::of_values([format!("{id}")]).build();
        bytes.extend(encode_frame(id, "pipeline", 9, &produce_request(TOPIC, 0, batch)).expect("encodes"));
    }
    // In pieces that split every frame.
    for piece in bytes.chunks(37) {
        client.send_raw(piece).expect("sent");
    }
    assert_answered_in_order(&mut client, 1..=200);

    // What is ready at once waits for what waits for the disk.
    let durable = Broker::start();
    let mut client = durable.client();
    client.create_topic("durable", 1, &[("flush.messages", "1")]).expect("answered");
    let mut bytes = Vec::new();
    for id in (1001..=1100).step_by(2) {
        let batch = Batch::of_values([format!("{id}")]).build();
        bytes.extend(encode_frame(id, "pipeline", 9, &produce_request("durable", 0, batch)).expect("encodes"));
        let metadata = MetadataRequest::default().with_topics(Some(vec![]));
        bytes.extend(encode_frame(id + 1, "pipeline", 12, &metadata).expect("encodes"));
    }
    client.send_raw(&bytes).expect("sent");
    assert_answered_in_order(&mut client, 1001..=1100);
}

#[track_caller]
fn assert_answered_in_order(client: &mut Client, ids: std::ops::RangeInclusive<i32>) {
    for id in ids {
        let answer = client.read_frame().expect("answered");
        assert_eq!(i32::from_be_bytes(answer[..4].try_into().expect("four bytes")), id);
    }
}

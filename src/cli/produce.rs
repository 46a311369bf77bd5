//! `ottla produce`: lines from standard input to a topic, with the flags of
//! kafka-console-producer.
//!
//! Promises: exit code 0 means that every line was acknowledged as `--request-required-acks` asks
//! for it. A line goes out as soon as the one before is acknowledged; what piles up meanwhile goes
//! as one batch. Absent: line readers in Java.

use super::Failure;
use super::args::{
    BootstrapArgs, check_security, is_true, last, number, parse_properties, read_properties,
};
use super::cluster::Cluster;
use super::produce_lines::LineFormat;
use super::produce_sender::{Sender, Settings};
use crate::client::codec::codec_by_name;
use crate::disk::os::wall_ms;
use crate::limits::{CLI_LINE_BYTES_MAX, CLI_LINES_AHEAD_MAX};
use crate::wire::batch::Codec;
use clap::Args;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// What `ottla produce` was asked to do.
#[derive(Args, Debug)]
pub struct ProduceArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// How to read lines: parse.key, key.separator (TAB), parse.headers, headers.delimiter (TAB),
    /// headers.separator (,), headers.key.separator (:), null.marker, ignore.error
    #[arg(long, value_name = "KEY=VALUE", alias = "reader-property")]
    #[arg(action = clap::ArgAction::Append)]
    property: Vec<String>,
    /// A file with such --property lines
    #[arg(long, value_name = "FILE")]
    reader_config: Option<std::path::PathBuf>,
    /// Understood if it is Kafka's own reader of lines; another class cannot be run
    #[arg(long, hide = true, value_name = "CLASS", value_parser = line_reader)]
    line_reader: Option<String>,
    /// How to send: acks, compression.type, batch.size, linger.ms, client.id, retries,
    /// retry.backoff.ms, enable.idempotence
    #[arg(long, value_name = "KEY=VALUE", alias = "command-property")]
    #[arg(action = clap::ArgAction::Append)]
    producer_property: Vec<String>,
    /// 0 (send and forget), 1 (written) or -1/all (synced) [default: -1]
    #[arg(long, value_name = "ACKS", allow_hyphen_values = true)]
    request_required_acks: Option<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip if nothing is said
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// Bytes after which a batch is sent [default: 262144]
    #[arg(long, value_name = "BYTES", alias = "max-partition-memory-bytes")]
    batch_size: Option<usize>,
    /// Wait so many milliseconds for more lines before a batch is sent [default: 0]
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Send every line by itself
    #[arg(long)]
    sync: bool,
    /// How often a batch is tried again [default: 10]
    #[arg(long, value_name = "N")]
    message_send_max_retries: Option<u32>,
    /// Milliseconds before the first retry; doubled with each [default: 100]
    #[arg(long, value_name = "MS")]
    retry_backoff_ms: Option<u64>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "MS")]
    max_block_ms: Option<u64>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "BYTES")]
    max_memory_bytes: Option<u64>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "MS")]
    metadata_expiry_ms: Option<u64>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "BYTES")]
    socket_buffer_size: Option<u64>,
}

/// Records of a batch, before compression. One request is on its way at a time, so that a batch
/// must be larger than Java's 16 KiB to fill the wait for a sync.
const BATCH_BYTES_DEFAULT: usize = 256 * 1024;

/// Runs the command.
pub fn run(args: &ProduceArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut properties = args.bootstrap.properties()?;
    properties.extend(parse_properties(&args.producer_property)?);
    check_security(&properties)?;
    let mut reading = match &args.reader_config {
        Some(path) => read_properties(path)?,
        None => Vec::new(),
    };
    reading.extend(parse_properties(&args.property)?);
    let format = LineFormat::new(&reading)?;
    let settings = settings(args, &properties)?;
    let linger = args.timeout.or(number(&properties, "linger.ms")?).unwrap_or(0);
    let cluster = Cluster::new(&args.bootstrap, "ottla-producer")?
        .with_client_id(last(&properties, "client.id"));
    let mut sender = Sender::new(cluster, &args.topic, settings)?;
    let (lines, receiver) = sync_channel(CLI_LINES_AHEAD_MAX);
    let prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    std::thread::spawn(move || read_lines(&mut std::io::stdin().lock(), &lines));
    let pumped = pump(&mut sender, &format, &receiver, args.sync, linger, prompt.then_some(out));
    let flushed = sender.flush();
    pumped.and(flushed)?;
    match sender.refused {
        0 => Ok(()),
        refused => Err(Failure::new(format!(
            "{refused} records were not acknowledged, {} were.",
            sender.acknowledged
        ))),
    }
}

/// Kafka's own class, which has stood in three packages.
fn line_reader(class: &str) -> Result<String, String> {
    match class.rsplit(['.', '$']).next() {
        Some("LineMessageReader") => Ok(class.to_owned()),
        _ => Err("is a Java class, and there is no JVM; lines can be read only".to_owned()),
    }
}

fn settings(args: &ProduceArgs, properties: &[(String, String)]) -> Result<Settings, Failure> {
    let acks = args.request_required_acks.as_deref().or(last(properties, "acks")).unwrap_or("-1");
    let acks = match acks {
        "all" | "-1" => -1,
        "0" => 0,
        "1" => 1,
        other => return Err(Failure::usage(format!("acks {other}: must be 0, 1, -1 or all"))),
    };
    let codec = args.compression_codec.as_deref().or(last(properties, "compression.type"));
    let codec = match codec {
        Some(name) => codec_by_name(name).ok_or_else(|| {
            Failure::usage(format!("compression {name}: must be none, gzip, snappy, lz4 or zstd"))
        })?,
        None => Codec::None,
    };
    let retries = args.message_send_max_retries.or(number(properties, "retries")?);
    let backoff = args.retry_backoff_ms.or(number(properties, "retry.backoff.ms")?);
    let bytes = args.batch_size.or(number(properties, "batch.size")?);
    let asked = last(properties, "enable.idempotence").is_some();
    Ok(Settings {
        acks,
        timeout_ms: i32::try_from(args.bootstrap.request_timeout_ms).unwrap_or(i32::MAX),
        codec,
        batch_bytes: bytes.unwrap_or(BATCH_BYTES_DEFAULT),
        retries: retries.unwrap_or(10),
        retry_backoff_ms: backoff.unwrap_or(100),
        idempotent: !asked || is_true(properties, "enable.idempotence"),
    })
}

/// One line, or why there are no more.
type Line = Result<Vec<u8>, Failure>;

/// Reads lines until the end, an error, or until nobody wants them any more.
fn read_lines(input: &mut impl BufRead, lines: &SyncSender<Line>) {
    let mut number = 0u64;
    loop {
        number += 1;
        let mut line = Vec::new();
        let read = input.take(CLI_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
        let item = match read {
            Ok(0) => return,
            Ok(count) if count == CLI_LINE_BYTES_MAX && line.last() != Some(&b'\n') => {
                Err(Failure::new(format!("line {number} is longer than {count} bytes")))
            }
            Ok(_) => {
                for end in [b'\n', b'\r'] {
                    if line.last() == Some(&end) {
                        line.pop();
                    } else if end == b'\n' {
                        break;
                    }
                }
                Ok(line)
            }
            Err(error) => Err(Failure::new(format!("cannot read standard input: {error}"))),
        };
        let ended = item.is_err();
        if lines.send(item).is_err() || ended {
            return;
        }
    }
}

/// Hands lines to the sender, and lets it send whenever no line waits (for `linger_ms`).
fn pump(
    sender: &mut Sender,
    format: &LineFormat,
    lines: &Receiver<Line>,
    sync: bool,
    linger_ms: u64,
    mut prompt: Option<&mut dyn Write>,
) -> Result<(), Failure> {
    let mut number = 0;
    loop {
        if let Some(out) = &mut prompt {
            write!(out, ">")?;
            out.flush()?;
        }
        let received = if sender.has_waiting() {
            lines.recv_timeout(Duration::from_millis(linger_ms))
        } else {
            lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match received {
            Ok(line) => {
                number += 1;
                sender.push(format.parse(&line?, number)?, wall_ms())?;
                if sync {
                    sender.flush()?;
                }
            }
            Err(RecvTimeoutError::Timeout) => sender.flush()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let (sender, receiver) = sync_channel(10);
        read_lines(&mut &b"a\r\n\nb \xff\nlast\r"[..], &sender);
        drop(sender);
        let lines: Vec<Vec<u8>> = receiver.iter().map(Result::unwrap).collect();
        assert_eq!(lines, [&b"a"[..], b"", b"b \xff", b"last\r"]);
    }
}

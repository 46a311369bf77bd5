//! The bounds of forwarding; see the module above for what a bound's text says.

// ---- What is kept and shown of forwarding ------------------------------------------------------

/// Bytes of the last error's words, as `ottla status` shows them.
///
/// Why: a sentence for a person; an upstream broker may send a longer one.
/// At the limit: the rest is cut off.
pub const FORWARD_ERROR_BYTES_MAX: usize = 200;

/// Bytes of the list of a topic's cursors, as `ottla forward` reads it.
///
/// Why: it is part of a figure, which has [`FIGURE_BYTES_MAX`](super::FIGURE_BYTES_MAX) with all
/// else that is said of a topic, and these are some 500 partitions. At the limit: the list is left
/// out.
pub const FORWARD_NEXT_BYTES_MAX: usize = 6 * 1024;

/// Bytes of a figure's name: `ottla.status.forward.topic.` and a topic's.
///
/// Why: topics' names have 249 bytes. At the limit: never reached.
pub const FIGURE_NAME_BYTES_MAX: usize = 280;

/// Milliseconds of the window over which rates are shown.
///
/// Why: long enough for a figure that can be read, short enough to see a link come back.
pub const FORWARD_RATE_MS: u64 = 10_000;
// ---- Forwarding --------------------------------------------------------------------------------

/// Connections to upstream brokers.
///
/// Why: a gateway's partitions are led by a handful of brokers, and each connection may hold a
/// request of `forward.batch.size`. At the limit: the one that was unused for longest is closed;
/// where all are busy, the lanes of further brokers wait.
pub const FORWARD_LINKS_MAX: usize = 8;

/// Requests without an answer on one upstream connection.
///
/// Why: Kafka's own producers have five; a slow link is filled by less.
/// At the limit: the next one waits for an answer.
pub const FORWARD_IN_FLIGHT_MAX: usize = 5;

/// Partitions in one request to an upstream broker.
///
/// Why: their names are held until the answer comes; a request is `forward.batch.size` at most
/// anyway. At the limit: the rest go with the next request.
pub const FORWARD_LANES_PER_REQUEST: usize = 32;

/// Bytes of a link's own buffer for answers.
///
/// Why: the answers about the partitions of one request, with their names. At the limit: the link
/// borrows the one buffer of `Sizes::forward_answer_bytes`, and is not read until it has it.
pub const FORWARD_ANSWER_BYTES: usize = 4 * 1024;

/// Bytes of the largest request whose size does not follow from `forward.batch.size`, and of the
/// largest batch that is read whole because its timestamps are the broker's.
///
/// Why: every request buffer has them. At the limit: fewer topics are asked for at once; the batch
/// goes up as it is, with the producers' own timestamps.
pub const FORWARD_REQUEST_BYTES_MIN: usize = 16 * 1024;

/// Bytes in front of a request's first batch: the client's name, a topic's name, some numbers.
pub const FORWARD_REQUEST_HEAD_BYTES: usize = 1024;

/// Bytes beside the plain ones of a buffer that records are compressed into.
///
/// Why: LZ4 wants a tenth more than a block has before it begins.
pub const FORWARD_COMPRESS_SLACK_BYTES: usize = 8 * 1024;

/// Bytes of a topic's name upstream.
///
/// Why: Kafka's own names end at 249 bytes. At the limit: the rest is cut off; what is left is
/// longer than 249, and upstream refuses it.
pub const FORWARD_NAME_BYTES_MAX: usize = 255;

/// Bytes of the upstream cluster's id.
///
/// Why: Kafka's have 22. At the limit: the rest does not count.
pub const FORWARD_CLUSTER_ID_BYTES_MAX: usize = 64;

/// Brokers of the upstream cluster that are remembered.
///
/// Why: those that lead what is forwarded come first. At the limit: lanes whose leader is not among
/// them wait, with a sentence in the log.
pub const FORWARD_NODES_MAX: usize = 64;

/// Bytes of a broker's host name upstream.
///
/// Why: what the domain name system allows. At the limit: the broker counts as one that is not
/// there.
pub const FORWARD_HOST_BYTES_MAX: usize = 255;

/// Bytes of the words about an answer that cannot be.
///
/// Why: a sentence. At the limit: the rest is cut off.
pub const FORWARD_ANSWER_WORDS_MAX: usize = 112;

/// Bytes of all their host names.
///
/// Why: 64 on average. At the limit: as for [`FORWARD_NODES_MAX`].
pub const FORWARD_HOSTS_BYTES: usize = 64 * FORWARD_NODES_MAX;

/// Bytes that decompressing one batch in Zstandard takes for a moment, beside the result.
///
/// Why: its window, its literals and its sequences; what it reserves beyond is never touched.
pub const FORWARD_UNPACK_ZSTD_BYTES: usize = 512 * 1024;

/// Bytes that the event loop takes for one connection to an upstream broker: its task, its socket's
/// registration, looking up its name.
pub const FORWARD_CONNECTION_BYTES: usize = 4 * 1024;

/// Topics in one question for metadata.
///
/// Why: an answer of a few KiB. Fewer where answers are longer than `Sizes::forward_answer_bytes`.
/// At the limit: the rest are asked for next.
pub const FORWARD_METADATA_TOPICS_MAX: usize = 64;

/// Milliseconds after which what is known of upstream is asked for again while there is work:
/// `metadata.max.age.ms` of Kafka's clients. Why: partitions may have been added.
pub const FORWARD_METADATA_MS: u64 = 300_000;

/// Milliseconds after which an unused upstream connection is closed.
///
/// Why: below the ten minutes after which Kafka does it, and what a mobile network forgets; a new
/// connection costs three packets and two small answers.
pub const FORWARD_LINK_IDLE_MS: u64 = 540_000;

/// Milliseconds of flow that the bandwidth cap lets through at once after a pause.
///
/// Why: a quarter of a second is within 1 % of half a minute. At the limit: the rest waits.
pub const FORWARD_BURST_MS: u64 = 250;

/// The least burst in bytes.
///
/// Why: about three packets, so that a small cap does not cut everything into crumbs.
pub const FORWARD_BURST_BYTES_MIN: u64 = 4096;

/// How long a lower class is held back under a bandwidth cap while a higher one, which has more to
/// send, waits for an answer, in milliseconds.
///
/// Why: a lane has one batch in flight; without this every pause for an answer would be filled with
/// a request of the lower class, and the two would take turns. Longer than a radio link takes.
/// At the limit: the lower class goes on, as the leader of the higher one may be out of reach.
pub const FORWARD_CLASS_WAIT_MS: u64 = 5000;

/// Bytes of a streamed batch that are in memory at once.
///
/// Why: what a socket takes in one turn. At the limit: the next piece follows.
pub const FORWARD_CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of upstream's log in one answer while it is read back.
///
/// Why: they are looked at as they come, so that only the round trips count.
pub const FORWARD_READ_BACK_BYTES: i32 = 1024 * 1024;

/// Milliseconds that upstream may wait for bytes that are not there.
///
/// Why: at the end of its log the answer is empty, and that is what we wanted to know.
pub const FORWARD_READ_BACK_WAIT_MS: i32 = 10;

/// Milliseconds for which a moved cursor may wait for somebody else's sync before it is journalled
/// for its own sake.
///
/// Why: a cursor that lags costs a question at the next start, a sync costs the card a write of
/// 4 KiB. At the limit: it is journalled.
pub const FORWARD_ROW_LAG_MS: u64 = 60_000;

/// Milliseconds between two frames for the same cursor that ride along with other syncs.
pub const FORWARD_ROW_RIDE_MS: u64 = 1_000;

/// Milliseconds before a row that the journal had no room for is staged again.
pub const FORWARD_SAVE_RETRY_MS: u64 = 20;

/// Bytes that are read from an upstream socket at once.
///
/// Why: answers are small, and a piece of its log is looked at as it comes.
pub const FORWARD_RECEIVE_BYTES: usize = 8 * 1024;

/// Milliseconds from the loss of a connection for which what went into it may still reach upstream,
/// if `forward.request.timeout.ms` is less.
///
/// Why: a broker works through what it has read of a connection that is gone. Who goes to another
/// partition, where nobody knows the old producer id, waits that long.
/// At the limit: it goes there.
pub const FORWARD_LATE_MS: u64 = 5_000;

/// Milliseconds that an orderly stop waits for upstream's answers.
///
/// Why: a round trip and some; an answer that is missed costs a question at the next start.
pub const FORWARD_STOP_MS: u64 = 500;
// ---- The settings of forwarding ----------------------------------------------------------------

/// Bytes of a list in a `forward.` setting: addresses, patterns, renames, priorities.
///
/// Why: a gateway that renames a hundred topics one by one takes some 6 KB; the broker keeps one
/// copy. At the limit: `serve` says so and does not start.
pub const FORWARD_LIST_BYTES_MAX: usize = 16 * 1024;

/// Bytes of `forward.client.id`.
///
/// Why: upstream keeps quotas and metrics under this name; Kafka's own names end at 249 bytes.
/// At the limit: `serve` says so and does not start.
pub const FORWARD_CLIENT_ID_BYTES_MAX: usize = 249;

/// Bytes of the smallest and of the largest `forward.batch.size`.
///
/// Why: less than 1 KiB merges nothing; 1 MiB is the largest batch that Kafka's default
/// `message.max.bytes` takes, and the forwarder holds a few of this size in memory.
/// At the limit: `serve` says so and does not start.
pub const FORWARD_BATCH_SIZE_MIN: i64 = 1024;
/// See [`FORWARD_BATCH_SIZE_MIN`].
pub const FORWARD_BATCH_SIZE_MAX: i64 = 1024 * 1024;

/// Milliseconds of the longest `forward.linger.ms`.
///
/// Why: what waits is a batch that is not full; a minute of records of the slowest sensor fills a
/// radio's frame. At the limit: `serve` says so and does not start.
pub const FORWARD_LINGER_MS_MAX: i64 = 60_000;

/// Bytes per second of the least `forward.bandwidth.bytes.per.second`, other than 0, no cap.
///
/// Why: below it one small batch takes longer than `forward.request.timeout.ms`.
/// At the limit: `serve` says so and does not start.
pub const FORWARD_BANDWIDTH_MIN: i64 = 1024;

/// Milliseconds of the least `forward.request.timeout.ms`.
///
/// Why: an answer over a satellite takes that long; a shorter wait would never see one.
/// At the limit: `serve` says so and does not start.
pub const FORWARD_TIMEOUT_MS_MIN: i64 = 1000;

/// Milliseconds of the least `forward.retry.backoff.ms`.
///
/// Why: a link that is down must not take the CPU. At the limit: `serve` says so and does not
/// start.
pub const FORWARD_BACKOFF_MS_MIN: i64 = 10;

/// Milliseconds between two looks at what all lanes are doing, for a person.
///
/// Why: nobody reads faster, and it takes a step per lane. At the limit: the figures are so old.
pub const FORWARD_SHOW_MS: u64 = 200;

/// Upstream offsets in front of the last acknowledged one from which on an upstream log that was
/// cut is searched for our last batch; four times as many with each try.
///
/// Why: an unclean election costs some hundred records, a backup a day's, and every byte is the
/// link's. At the limit: the search ends at the log's beginning.
pub const FORWARD_CUT_STEP: i64 = 1024;

/// Times in a row that a lane asks to read upstream's log and may not.
///
/// Why: with the pauses in between some seconds, in which a permission may come back.
/// At the limit: what is unanswered is sent again and counted as "may be repeated".
pub const FORWARD_REFUSED_READS_MAX: u32 = 4;

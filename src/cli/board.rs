//! Which board this is: `--board`, or what the machine's memory says; and what that leads to.
//!
//! Promises: a name that nobody knows and a file that cannot be read are one sentence; without
//! `--board` the choice and its reason are told. A control group that allows less than the machine
//! has counts as the machine.
//! Absent: the profiles (`config::board`), and what the tables take (their owners).

use crate::broker;
use crate::config::{
    BOARDS, BrokerConfig, ForwardCompression, ForwardConfig, board_for, board_named, board_names,
    read_board,
};
use crate::forward::Forwarder;
use crate::limits::{Board, CONFIG_FILE_BYTES_MAX, Ledger, PROGRAM_BYTES, Sizes};
use crate::server::Server;
use std::path::Path;

/// A profile and where it comes from.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its name, or the name of its file.
    pub name: String,
    /// The profile.
    pub board: Board,
    /// Why this one, as the rest of a sentence.
    pub reason: String,
}

/// The board that `--board` names, or the one for this machine.
///
/// # Errors
/// One sentence for each thing that is wrong.
pub fn choose(wanted: Option<&str>) -> Result<Chosen, Vec<String>> {
    let Some(wanted) = wanted else { return Ok(for_this_machine()) };
    let chosen =
        |board, reason: &str| Chosen { name: wanted.to_owned(), board, reason: reason.to_owned() };
    if let Some(board) = board_named(wanted) {
        return Ok(chosen(board, "asked for with --board"));
    }
    let path = Path::new(wanted);
    if !wanted.contains(['/', '.']) && !path.exists() {
        let said = format!(
            "--board {wanted}: there is no such board, and no such file; it takes one of {}, or \
             the name of a file that says like = \"gateway-1g\" and what is different",
            board_names()
        );
        return Err(vec![said]);
    }
    let length = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    if length > CONFIG_FILE_BYTES_MAX as u64 {
        return Err(vec![format!("--board {wanted}: {length} bytes are no board profile")]);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![format!("--board {wanted}: cannot read it: {error}")])?;
    let board = read_board(wanted, &text)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(chosen(board, "the file that --board names"))
}

fn for_this_machine() -> Chosen {
    let (bytes, whose) = machine_memory();
    let name = board_for(bytes.unwrap_or(u64::MAX));
    let found = board_named(name).unwrap_or_default();
    let reason = match bytes {
        Some(bytes) => format!("{whose} {} MiB of memory", bytes >> 20),
        None => "how much memory this machine has cannot be read".to_owned(),
    };
    Chosen { name: name.to_owned(), board: found, reason }
}

/// Bytes of memory that this process may use, and who says so.
fn machine_memory() -> (Option<u64>, &'static str) {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo_row(&text, "MemTotal"));
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let group = group.and_then(|text| text.trim().parse().ok());
    match (machine, group) {
        (Some(machine), Some(group)) if group < machine => {
            (Some(group), "the control group allows")
        }
        (Some(machine), _) => (Some(machine), "this machine has"),
        (None, group) => (group, "the control group allows"),
    }
}

/// A row of `/proc/meminfo`, in bytes.
pub fn meminfo_row(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Every row that the broker allocates at start, for this configuration.
pub fn ledger(config: &BrokerConfig) -> Ledger {
    let mut ledger = Ledger::default();
    Server::account(&config.sizes, &mut ledger);
    broker::Broker::account(&config.sizes, &mut ledger);
    Forwarder::account(&config.sizes, &config.forward, &mut ledger);
    ledger
}

/// Whether the ledger's sum and the program fit into the board's memory.
///
/// # Errors
/// One sentence that names what to change.
pub fn check_memory(chosen: &Chosen, config: &BrokerConfig) -> Result<(), String> {
    let needed = ledger(config).bytes() + PROGRAM_BYTES;
    let memory = config.sizes.memory_bytes;
    if needed <= memory {
        return Ok(());
    }
    if let Some(said) = forwarding_hint(chosen, config, needed) {
        return Err(said);
    }
    let hint = match smallest_board(|board| board.memory_bytes >= needed) {
        Some(name) => format!("or choose a larger board (--board {name})"),
        None => "or raise memory in a board file of your own".to_owned(),
    };
    Err(format!(
        "board {} allows {} of memory, and its tables and buffers need {}: lower connections, \
         partitions, groups or message.max.bytes, {hint}; \
         `ottla limits` shows what takes how much",
        chosen.name,
        mebibytes(memory),
        mebibytes(needed),
    ))
}

/// What to change where everything would fit but for forwarding's settings.
fn forwarding_hint(chosen: &Chosen, config: &BrokerConfig, needed: u64) -> Option<String> {
    if config.forward.bootstrap_servers.is_empty() {
        return None;
    }
    let fits = |forward: ForwardConfig| {
        let config = BrokerConfig { forward, ..config.clone() };
        ledger(&config).bytes() + PROGRAM_BYTES <= config.sizes.memory_bytes
    };
    let given = &config.forward;
    let (size, codec) = (given.batch_size, given.compression_type);
    let smaller = [64, 32, 16].map(|kib| kib << 10).into_iter().filter(|bytes| *bytes < size);
    let with = |batch_size, compression_type| {
        fits(ForwardConfig { batch_size, compression_type, ..given.clone() })
    };
    let mut hints = Vec::new();
    if let Some(bytes) = smaller.clone().find(|bytes| with(*bytes, codec)) {
        hints.push(format!("forward.batch.size={bytes}"));
    }
    for better in [ForwardCompression::Gzip, ForwardCompression::Lz4] {
        if codec != better && codec != ForwardCompression::Producer && with(size, better) {
            hints.push(format!("forward.compression.type={}", better.as_text()));
        }
    }
    if hints.is_empty() {
        let lz4 = ForwardCompression::Lz4;
        let bytes = smaller.clone().find(|bytes| with(*bytes, lz4))?;
        hints.push(format!("forward.compression.type=lz4 with forward.batch.size={bytes}"));
    }
    let memory = config.sizes.memory_bytes;
    Some(format!(
        "board {} allows {} of memory, and with forward.batch.size={} and \
         forward.compression.type={} its tables and buffers need {}: set {}, or choose a larger \
         board; `ottla limits` shows what takes how much",
        chosen.name,
        mebibytes(memory),
        size,
        codec.as_text(),
        mebibytes(needed),
        hints.join(" or "),
    ))
}

/// The smallest board that has room for so many of what a directory may hold too many of.
pub fn with_room(what: &str, found: usize) -> Option<&'static str> {
    let room = |board: &Board| {
        let sizes = Sizes::of(board);
        match what {
            "partitions" => sizes.partitions,
            "topics" => sizes.topics,
            "segments" => sizes.segments,
            "bytes of topics' names" => sizes.name_bytes,
            _ => 0,
        }
    };
    smallest_board(|board| found > 0 && room(board) >= found)
}

/// The shipped board with the least memory among those that `fit`.
fn smallest_board(fit: impl Fn(&Board) -> bool) -> Option<&'static str> {
    let boards = BOARDS.iter().filter_map(|(name, _)| Some((*name, board_named(name)?)));
    let fitting = boards.filter(|(_, board)| fit(board));
    fitting.min_by_key(|(_, board)| board.memory_bytes).map(|(name, _)| name)
}

/// Bytes as a person reads them.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_as_the_kernel_prints_it() {
        let text = "MemTotal:         441084 kB\nMemFree:           10000 kB\n";
        assert_eq!(meminfo_row(text, "MemTotal"), Some(441_084 * 1024));
        assert_eq!(meminfo_row("MemTotal: lots", "MemTotal"), None);
    }

    #[test]
    fn an_unknown_board_is_one_sentence_with_the_known_ones() {
        let errors = choose(Some("pi-9")).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains("pi-zero-2w"), "{errors:?}");
        assert!(choose(Some("./no-such-file.toml")).unwrap_err()[0].contains("cannot read it"));
        assert_eq!(choose(Some("desktop")).unwrap().board, Board::DESKTOP);
    }

    #[test]
    fn a_file_may_lie_anywhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "like = \"pi-zero\"\nconnections = 33\n").unwrap();
        let name = file.path().to_str().unwrap();
        assert_eq!(choose(Some(name)).unwrap().board.connections, 33);
    }
}

//! Board profiles: the shipped ones, a file of a person's own, and which one a machine gets.
//!
//! Promises: a profile is complete (what it leaves out comes from the one that `like` names, or
//! from the default); an unknown key, a number out of range or a text that is no size is one
//! sentence with place and key.
//! Absent: looking at the machine (`cli`), and what the numbers lead to (`limits::Sizes`).

use super::error::{ConfigError, Reason};
use super::{file, suggest};
use crate::limits::{Board, JOURNAL_BYTES_MAX, JOURNAL_BYTES_MIN, MAX_CONNECTIONS_MAX};

/// The profiles that come with the program: names and texts (`board-configs/`).
pub const BOARDS: [(&str, &str); 8] = [
    ("pi-zero", include_str!("../../board-configs/pi-zero.toml")),
    ("gateway-256m", include_str!("../../board-configs/gateway-256m.toml")),
    ("pi-zero-2w", include_str!("../../board-configs/pi-zero-2w.toml")),
    ("gateway-1g", include_str!("../../board-configs/gateway-1g.toml")),
    ("pi-3", include_str!("../../board-configs/pi-3.toml")),
    ("pi-4", include_str!("../../board-configs/pi-4.toml")),
    ("pi-5", include_str!("../../board-configs/pi-5.toml")),
    ("desktop", include_str!("../../board-configs/desktop.toml")),
];

/// The profile of [`Board::DEFAULT`].
pub const BOARD_DEFAULT: &str = "gateway-1g";

const MIB: u64 = 1 << 20;

/// The profile for a machine with so many bytes of memory.
///
/// Never one that takes more than 10 MiB: a larger one is a person's decision.
pub fn board_for(memory_bytes: u64) -> &'static str {
    match memory_bytes / MIB {
        0..100 => "pi-zero",
        100..400 => "gateway-256m",
        // A machine of 512 MB reports less: the GPU has its share.
        400..768 if cfg!(all(target_arch = "arm", not(target_feature = "v7"))) => "pi-zero",
        400..768 => "pi-zero-2w",
        _ => BOARD_DEFAULT,
    }
}

/// The shipped profile of this name.
pub fn board_named(name: &str) -> Option<Board> {
    let (name, text) = BOARDS.iter().find(|(known, _)| *known == name)?;
    read_board(name, text).ok()
}

/// The names of all shipped profiles, for a sentence.
pub fn board_names() -> String {
    BOARDS.map(|(name, _)| name).join(", ")
}

/// One number of a profile: its key, its least and its largest value, and where it goes.
type Number = (&'static str, u64, u64, fn(&mut Board, u64));

const NUMBERS: [Number; 6] = [
    ("memory", 2 * MIB, 1 << 34, |board, value| board.memory_bytes = value),
    ("connections", 8, MAX_CONNECTIONS_MAX as u64, |board, value| board.connections = value as u32),
    ("partitions", 8, 65_536, |board, value| board.partitions = value as u32),
    ("groups", 2, 10_000, |board, value| board.groups = value as u32),
    ("message.max.bytes", 16_384, 64 * MIB, |board, value| board.message_bytes = value as u32),
    ("journal.bytes", JOURNAL_BYTES_MIN as u64, JOURNAL_BYTES_MAX as u64, |board, value| {
        board.journal_bytes = value as u32;
    }),
];

/// Reads a profile. `place` is the file's name, for errors.
///
/// # Errors
/// Every sentence that there is to say.
pub fn read_board(place: &str, text: &str) -> Result<Board, Vec<ConfigError>> {
    let entries = file::read(place, text).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut board = Board::DEFAULT;
    let like = entries.iter().find(|entry| entry.key == "like");
    if let Some(like) = like {
        match board_named_unless(place, &like.value) {
            Some(known) => board = known,
            None => {
                let said = format!("{:?} is no board; it takes {}", like.value, board_names());
                let error = ConfigError::new("like", Reason::InvalidValue, &said);
                errors.push(error.at(&format!("{place}:{}", like.line)));
            }
        }
    }
    for entry in entries.iter().filter(|entry| entry.key != "like") {
        let at = format!("{place}:{}", entry.line);
        let Some((key, least, most, write)) = NUMBERS.iter().find(|row| row.0 == entry.key) else {
            let known = NUMBERS.iter().map(|row| row.0).chain(["like"]);
            let hint = suggest::nearest(&entry.key, known)
                .map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
            let said = format!("is not a number of a board profile{hint}");
            errors.push(ConfigError::new(&entry.key, Reason::UnknownKey, &said).at(&at));
            continue;
        };
        match parse_size(&entry.value).filter(|value| (*least..=*most).contains(value)) {
            Some(value) => write(&mut board, value),
            None => {
                let allowed =
                    format!("a number from {least} to {most}, or a size such as \"8 MiB\"");
                errors.push(ConfigError::illegal(key, &entry.value, &allowed).at(&at));
            }
        }
    }
    if errors.is_empty() { Ok(board) } else { Err(errors) }
}

/// The shipped profile `name`, unless it is being read itself: a profile is not like itself.
fn board_named_unless(place: &str, name: &str) -> Option<Board> {
    if place == name { None } else { board_named(name) }
}

/// `1048588`, `512 KiB`, `10 MiB`, `1 GiB`; also with the letters that people leave out.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim() {
        "" | "B" => 0,
        "K" | "KiB" | "k" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_is_read_and_the_constants_are_theirs() {
        for (name, text) in BOARDS {
            let board = read_board(name, text).unwrap_or_else(|errors| panic!("{errors:?}"));
            assert!(board.memory_bytes >= 6 * MIB, "{name}");
            for (key, ..) in NUMBERS {
                assert!(text.contains(&format!("\n{key} = ")), "{name} does not say {key}");
            }
        }
        assert_eq!(board_named(BOARD_DEFAULT), Some(Board::DEFAULT));
        assert_eq!(board_named("desktop"), Some(Board::DESKTOP));
        assert_eq!(board_named("pi-9"), None);
    }

    #[test]
    fn no_machine_gets_more_than_ten_mebibytes_unasked() {
        for memory in [0, 128, 256, 512, 768, 1024, 4096, 1 << 20] {
            let board = board_named(board_for(memory * MIB)).unwrap();
            assert!(board.memory_bytes <= 10 * MIB, "{memory}");
            assert!(memory == 0 || board.memory_bytes * 12 <= memory * MIB, "{memory}");
        }
        assert_eq!(board_for(1000 * MIB), BOARD_DEFAULT);
        assert_eq!(board_for(250 * MIB), "gateway-256m");
    }

    #[test]
    fn a_file_of_ones_own_changes_what_it_names() {
        let text = "like = \"pi-zero\"\nconnections = 40\nmemory = \"7 MiB\"\n";
        let board = read_board("my.toml", text).unwrap();
        let zero = board_named("pi-zero").unwrap();
        assert_eq!(board, Board { connections: 40, memory_bytes: 7 * MIB, ..zero });
        assert_eq!(read_board("my.toml", ""), Ok(Board::DEFAULT));
    }

    #[test]
    fn what_is_wrong_is_said_with_place_and_key() {
        let text = "like = \"pi-9\"\nconection = 1\npartitions = 0\nmemory = \"8 MB\"\n";
        let errors = read_board("my.toml", text).unwrap_err();
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("my.toml:1: like: \"pi-9\" is no board"), "{said:?}");
        assert!(said[1].contains("my.toml:2: conection") && said[1].contains("connections?"));
        assert!(said[2].starts_with("my.toml:3: partitions: \"0\" is not possible"), "{said:?}");
        assert!(said[3].contains("my.toml:4: memory") && said[3].contains("8 MiB"), "{said:?}");
        assert_eq!(said.len(), 4);
    }
}

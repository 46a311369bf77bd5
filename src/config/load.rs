//! From a file and the command line to one [`BrokerConfig`], with everything there is to say.
//!
//! Promises: what the command line says wins over the file; within one layer `log.retention.ms`
//! wins over `.minutes` over `.hours`, as the order of `BROKER_KEYS` has it. All errors are found
//! in one go. An unknown setting is a warning, as in Kafka, so that the service starts; an illegal
//! value, and a wish for security that cannot be granted, are errors.
//!
//! Absent: reading the file.

use super::broker::BrokerConfig;
use super::broker_keys::{self, BROKER_KEYS};
use super::elsewhere::{self, Verdict};
use super::error::{ConfigError, Level, Note, Reason};
use super::listener::{Listener, PLAINTEXT};
use super::topic_keys::{self, TOPIC_KEYS};
use super::value::{self, items};
use super::{file, forward_keys, suggest};
use crate::limits::{Board, DISK_QUOTA_BYTES_MIN};
use std::path::Path;

/// Joins all layers, weakest first: the board, the file, `--set KEY=VALUE`, `--listen` and
/// `--data`. Without a file, pass an empty `text`.
pub fn load(
    board: &Board,
    file_name: &str,
    text: &str,
    sets: &[String],
    listens: &[String],
    data: Option<&Path>,
) -> Result<(BrokerConfig, Vec<Note>), Vec<ConfigError>> {
    let mut loading = Loading { config: BrokerConfig::of(board), ..Loading::default() };
    loading.take_file(file_name, text);
    loading.take_flags(sets, listens);
    loading.apply_entries();
    if let Some(data) = data {
        loading.config.log_dir = data.to_path_buf();
        let shown = data.to_string_lossy().into_owned();
        loading.config.given.retain(|(key, _)| !matches!(*key, "log.dirs" | "log.dir"));
        loading.config.given.push(("log.dirs", shown));
    }
    loading.check_listeners();
    loading.check_the_rest();
    loading.config.set_sizes(board);
    if loading.errors.is_empty() {
        Ok((loading.config, loading.notes))
    } else {
        Err(loading.errors)
    }
}

/// The two that say what a listener's name means; `listeners` is nothing without them.
const PROTOCOL_MAP: &str = "listener.security.protocol.map";
const CONTROLLER_NAMES: &str = "controller.listener.names";

/// Other names of settings in the table; the topic's name is taken for the broker's as well.
const ALIASES: [(&str, &str); 1] = [("message.timestamp.type", "log.message.timestamp.type")];

/// The layers of `Setting::layer`.
const FILE: u8 = 0;
const COMMAND_LINE: u8 = 1;

struct Setting {
    layer: u8,
    key: String,
    value: String,
    place: String,
}

#[derive(Default)]
struct Loading {
    /// One for each name: the one that wins.
    settings: Vec<Setting>,
    config: BrokerConfig,
    notes: Vec<Note>,
    errors: Vec<ConfigError>,
}

impl Loading {
    fn take_file(&mut self, file_name: &str, text: &str) {
        match file::read(file_name, text) {
            Err(error) => self.errors.push(error),
            Ok(entries) => {
                for entry in entries {
                    let place = format!("{file_name}:{}", entry.line);
                    self.take(FILE, &entry.key, entry.value, place);
                }
            }
        }
    }

    fn take_flags(&mut self, sets: &[String], listens: &[String]) {
        for set in sets {
            match set.split_once('=') {
                Some((key, value)) => {
                    self.take(COMMAND_LINE, key.trim(), value.to_string(), "--set".to_string());
                }
                None => {
                    let said = format!("takes KEY=VALUE, not {set:?}");
                    self.errors.push(ConfigError::new("", Reason::Syntax, &said).at("--set"));
                }
            }
        }
        if !listens.is_empty() {
            let value = listens.join(",");
            self.take(COMMAND_LINE, "listeners", value, "--listen".to_string());
        }
    }

    fn take(&mut self, layer: u8, key: &str, value: String, place: String) {
        let key = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name);
        let setting = Setting { layer, key: key.to_string(), value, place };
        match self.settings.iter().position(|before| before.key == key) {
            None => self.settings.push(setting),
            Some(index) => {
                let before = std::mem::replace(&mut self.settings[index], setting);
                if layer == FILE {
                    let said = format!("counts here, and not in {}", before.place);
                    let place = self.settings[index].place.clone();
                    self.note(&place, key, Level::Warning, &said);
                }
            }
        }
    }

    fn note(&mut self, place: &str, key: &str, level: Level, message: &str) {
        let (place, key, message) = (place.to_string(), key.to_string(), message.to_string());
        self.notes.push(Note { place, key, level, message });
    }

    fn refuse(&mut self, key: &str, reason: Reason, message: &str) {
        let place = self.place(key);
        self.errors.push(ConfigError::new(key, reason, message).at(&place));
    }

    fn remark(&mut self, key: &str, level: Level, message: &str) {
        let place = self.place(key);
        self.note(&place, key, level, message);
    }

    fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn place(&self, key: &str) -> String {
        self.setting(key).map(|setting| setting.place.clone()).unwrap_or_default()
    }

    /// Writes every setting to its field, those that win last.
    fn apply_entries(&mut self) {
        let settings = std::mem::take(&mut self.settings);
        for setting in &settings {
            let known = broker_keys::find(&setting.key).is_some();
            if !known && setting.key != PROTOCOL_MAP && setting.key != CONTROLLER_NAMES {
                self.comment(setting);
            }
        }
        for layer in [FILE, COMMAND_LINE] {
            for key in BROKER_KEYS.iter().rev() {
                let Some(setting) = settings.iter().find(|s| s.layer == layer && s.key == key.name)
                else {
                    continue;
                };
                match value::normalise(key.kind, key.allowed, &setting.value) {
                    Ok(value) => {
                        (key.write)(&mut self.config, &value);
                        self.config.given.push((key.name, value.into_owned()));
                    }
                    Err(allowed) => {
                        let error = ConfigError::illegal(key.name, &setting.value, &allowed);
                        self.errors.push(error.at(&setting.place));
                    }
                }
            }
        }
        self.settings = settings;
    }

    /// Says what there is to say about a setting that ottla does not have.
    fn comment(&mut self, setting: &Setting) {
        let key = setting.key.as_str();
        match elsewhere::look_up(key, &setting.value) {
            Some(Verdict::Refused(why)) => {
                let error = ConfigError::new(key, Reason::NotThereYet, why);
                self.errors.push(error.at(&setting.place));
            }
            Some(Verdict::Ignored(level, why)) => self.note(&setting.place, key, level, why),
            None => self.note(&setting.place, key, Level::Warning, &unknown(key)),
        }
    }

    /// Listeners that are Kafka's controller's go; those that ask for security are refused.
    fn check_listeners(&mut self) {
        let text = |key| self.setting(key).map(|s| s.value.to_ascii_uppercase());
        let controllers = text(CONTROLLER_NAMES).unwrap_or_default();
        let controllers: Vec<&str> = items(&controllers).collect();
        let protocols = text(PROTOCOL_MAP).unwrap_or_default();
        let protocols: Vec<(&str, &str)> = items(&protocols)
            .map(|item| item.split_once(':').unwrap_or((item, "")))
            .map(|(name, protocol)| (name.trim(), protocol.trim()))
            .collect();
        if let Some((name, _)) = protocols.iter().find(|(_, p)| !PROTOCOLS.contains(p)) {
            let said = format!("takes NAME:PROTOCOL, with one of {PROTOCOLS:?}; see {name:?}");
            self.refuse(PROTOCOL_MAP, Reason::InvalidValue, &said);
        }

        let is_controller = |listener: &Listener| controllers.contains(&listener.name.as_str());
        let all = std::mem::take(&mut self.config.listeners);
        let (gone, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(is_controller);
        for listener in gone {
            let said = format!("{listener} is not opened: there is no controller to reach");
            self.remark("listeners", Level::Info, &said);
        }
        for listener in &kept {
            if let Err((reason, said)) = plain(listener, &protocols) {
                self.refuse("listeners", reason, &said);
            }
        }
        if kept.is_empty() {
            self.refuse("listeners", Reason::InvalidValue, "must name at least one address");
        }
        self.config.listeners = kept;
        self.config.advertised_listeners.retain(|advertised| !is_controller(advertised));
        self.check_advertised();
    }

    fn check_advertised(&mut self) {
        let key = "advertised.listeners";
        for advertised in self.config.advertised_listeners.clone() {
            if advertised.is_wildcard() || advertised.port == 0 {
                let said = format!("{advertised} is no address that a client could connect to");
                self.refuse(key, Reason::InvalidValue, &said);
            } else if !self.config.listeners.iter().any(|l| l.name == advertised.name) {
                let said = format!("{advertised} is not used: no listener has this name");
                self.remark(key, Level::Warning, &said);
            }
        }
    }

    /// What no single setting can violate, and what is stored but not obeyed.
    fn check_the_rest(&mut self) {
        let config = &self.config;
        let factor = config.default_replication_factor;
        let one_replica = factor > 1 && !config.replication_factor_accept_any;
        let insync = config.min_insync_replicas;
        let compact = config.log_cleanup_policy.compact;
        let recompress = config.compression_type != "producer";
        let least = config.group_min_session_timeout_ms;
        let longest = config.group_max_session_timeout_ms;
        let quota = config.disk_quota_bytes;
        if (0..DISK_QUOTA_BYTES_MIN as i64).contains(&quota) {
            let said = format!(
                "takes -1 (what is free on the file system) or {DISK_QUOTA_BYTES_MIN} bytes \
                 and more"
            );
            self.refuse("disk.quota.bytes", Reason::InvalidValue, &said);
        }
        if least > longest {
            let said = format!("is less than group.min.session.timeout.ms, which is {least}");
            self.refuse("group.max.session.timeout.ms", Reason::InvalidValue, &said);
        }
        if one_replica {
            let said = "counts as 1: this is one node; replication.factor.accept.any = true \
                        accepts any factor from clients, too";
            self.remark("default.replication.factor", Level::Info, said);
        }
        if insync > 1 {
            let said = "counts as 1: this is one node, and what it acknowledges is on its flash";
            self.remark("min.insync.replicas", Level::Info, said);
        }
        if compact {
            let said = "compaction is not there yet: with compact alone, nothing is deleted";
            self.remark("log.cleanup.policy", Level::Warning, said);
        }
        if recompress {
            let said = "batches stay compressed as the producer sent them";
            self.remark("compression.type", Level::Info, said);
        }
        let [refusals, remarks] = forward_keys::contradictions(&self.config);
        refusals.iter().for_each(|(key, said)| self.refuse(key, Reason::InvalidValue, said));
        remarks.iter().for_each(|(key, said)| self.remark(key, Level::Warning, said));
    }
}

const PROTOCOLS: [&str; 4] = [PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Whether this listener speaks plain Kafka, as the map, or its name, says.
fn plain(listener: &Listener, protocols: &[(&str, &str)]) -> Result<(), (Reason, String)> {
    let name = listener.name.as_str();
    let mapped = protocols.iter().find(|(mapped, _)| *mapped == name);
    match mapped.map_or(name, |(_, protocol)| protocol) {
        PLAINTEXT => Ok(()),
        protocol if PROTOCOLS.contains(&protocol) => {
            let said = format!(
                "{listener} asks for {protocol}, which is not there yet; write {PLAINTEXT}, and \
                 let only a network that you trust reach it"
            );
            Err((Reason::NotThereYet, said))
        }
        _ => {
            let said = format!(
                "the protocol of {listener} is not known; add {PROTOCOL_MAP} = \
                 \"{name}:{PLAINTEXT}\", or name it {PLAINTEXT}"
            );
            Err((Reason::InvalidValue, said))
        }
    }
}

/// What to do about a name that nobody knows.
fn unknown(key: &str) -> String {
    let topic = topic_keys::position(key).and_then(|index| TOPIC_KEYS.get(usize::from(index)));
    if let Some(instead) = topic.and_then(|topic| topic.synonyms.first()) {
        return format!("is a setting of topics and is ignored here; the broker's is {instead}");
    }
    match suggest::nearest(key, BROKER_KEYS.iter().map(|key| key.name)) {
        Some(nearest) => format!("is not known and is ignored; did you mean {nearest}?"),
        None => "is not known and is ignored; check the spelling, or remove it".to_string(),
    }
}

#[cfg(test)]
mod tests;

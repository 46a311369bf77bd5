//! `ottla serve`: reads the settings, opens the data directory, and runs the server to its end.
//!
//! On standard output go two lines once it accepts: where it listens and what it found, and who
//! can reach it. Everything else goes to standard error, one line an event. Exit code 0 after an
//! orderly stop, 1 when it cannot start, with one sentence that says why and what to do.

use super::ServeArgs;
use super::board::{self, Chosen, mebibytes};
use super::serve_notify::{self, Notifier};
use super::{lock, logger, process};
use crate::broker::{self, Broker, Opened};
use crate::config::{self, BrokerConfig, Level, Note};
use crate::disk::os::{descriptor_limit, raise_descriptor_limit, random_seed};
use crate::forward::driver;
use crate::limits::{CONFIG_FILE_BYTES_MAX, FILES_OF_THE_PROCESS, HELPER_STACK_BYTES};
use crate::server::{self, Bound, Clock, Server};
use crate::storage::Storage;
use crate::storage::recovery::Report;
use crate::storage::recovery::{OpenError, TooLarge};
use crate::time::{Millis, Now};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the broker.
#[expect(clippy::needless_pass_by_value, reason = "every command owns its arguments")]
pub fn run(args: ServeArgs) -> ExitCode {
    logger::start(&args.log_level);
    if !process::end_with_supervisor() {
        return ExitCode::FAILURE;
    }
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentences) => {
            sentences.iter().for_each(|sentence| log::error!("{sentence}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &ServeArgs) -> Result<(), Vec<String>> {
    let one = |sentence: String| vec![sentence];
    let (chosen, config, notes) = settings(args)?;
    for note in notes {
        match note.level {
            Level::Warning => log::warn!("{note}"),
            Level::Info => log::info!("{note}"),
        }
    }
    board::check_memory(&chosen, &config).map_err(one)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // For the names of listeners only: syncs have a thread of their own.
        .max_blocking_threads(1)
        .thread_name("ottla-names")
        .thread_stack_size(HELPER_STACK_BYTES)
        .build()
        .map_err(|error| one(format!("the event loop cannot be made: {error}")))?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, run_server(&chosen, config)).map_err(one);
    // A sync that a stalled card has not finished shall not hold up the end.
    runtime.shutdown_background();
    result
}

/// Board and configuration as the arguments have it, and what there is to remark.
pub(super) fn settings(args: &ServeArgs) -> Result<(Chosen, BrokerConfig, Vec<Note>), Vec<String>> {
    let chosen = board::choose(args.board.as_deref())?;
    let (name, text) = match &args.config {
        Some(path) => (path.display().to_string(), read_config(path).map_err(|e| vec![e])?),
        None => (String::new(), String::new()),
    };
    let loaded =
        config::load(&chosen.board, &name, &text, &args.set, &args.listen, args.data.as_deref());
    let (config, notes) =
        loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok((chosen, config, notes))
}

fn read_config(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let length = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    if length > CONFIG_FILE_BYTES_MAX as u64 {
        return Err(format!("{shown} has {length} bytes; that is no configuration file"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))
}

/// How many open files the broker does not start below, and how many it needs when all is in use.
pub fn files_needed(config: &BrokerConfig) -> (u64, u64) {
    let rest = config.sizes.connections + FILES_OF_THE_PROCESS;
    let files = |of_storage: usize| (of_storage + rest) as u64;
    (files(Storage::files_min(&config.sizes)), files(Storage::files_max(&config.sizes)))
}

/// Whether so many open files are enough: for a full board with all that it may open, or with a
/// warning, for the two files that each partition has at least while it is written.
///
/// # Errors
/// A sentence, where partitions of this board would fail when they are written.
fn check_descriptors(config: &BrokerConfig, limit: u64) -> Result<Option<String>, String> {
    let (least, most) = files_needed(config);
    let advice = "raise the hard limit (ulimit -Hn, LimitNOFILE), or take a smaller board";
    let (partitions, connections) = (config.sizes.partitions, config.sizes.connections);
    if limit < least {
        return Err(format!(
            "this process may open {limit} files, but the board's {partitions} partitions and \
             {connections} connections need {least} at least: {advice}"
        ));
    }
    Ok((limit < most).then(|| {
        format!(
            "this process may open {limit} files, and with all partitions and connections in use \
             it could need {most}: {advice}"
        )
    }))
}

async fn run_server(chosen: &Chosen, config: BrokerConfig) -> Result<(), String> {
    raise_descriptor_limit();
    if let Some(limit) = descriptor_limit()
        && let Some(warning) = check_descriptors(&config, limit)?
    {
        log::warn!("{warning}");
    }
    let notifier = Rc::new(Notifier::from_environment());
    notifier.status("reading what is on the disk");
    let clock = Clock::start();
    let data = config.log_dir.clone();
    let shown = data.display();
    let disk = lock::open(&data)?;
    log::info!(
        "board {} ({}): never more than {} of memory; `ottla limits` shows what it is for",
        chosen.name,
        chosen.reason,
        mebibytes(config.sizes.memory_bytes),
    );
    let Opened { broker, report } = broker::open(Rc::new(disk), config, random_seed(), clock.now())
        .map_err(|error| {
            let hint = match error {
                OpenError::TooLarge(TooLarge { what, found }) => board::with_room(what, found),
                _ => None,
            };
            let hint = hint.map_or(String::new(), |name| format!(" (--board {name} would do)"));
            format!("cannot use the data directory {shown}: {error}{hint}")
        })?;
    tell(&report);
    // Before anybody can know that we run: a signal that comes at once shall end it in order, too.
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let bound = server::bind(broker.config()).await?;
    let took_ms = clock.now().mono.0;
    let addresses = announce(&bound, &format!("{shown}"), broker.cluster_id(), took_ms);
    let server = Server::new(broker, clock);
    serve_notify::start(&notifier, &server, &addresses);
    let forwarding = driver::start(ForwardHost(server.clone()), random_seed() as u64);
    let stopper = server.clone();
    tokio::task::spawn_local(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        notifier.stopping();
        log::info!("{name}: stopping; once more ends at once");
        let stop = async {
            if let Some(forwarding) = forwarding {
                forwarding.stop().await;
            }
        };
        tokio::select! {
            () = stop => {}
            _ = terminate.recv() => std::process::exit(1),
            _ = interrupt.recv() => std::process::exit(1),
        }
        stopper.stop();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(1);
    });
    server.run(bound).await;
    log::info!("stopped");
    Ok(())
}

/// What the forwarder sees of the server.
struct ForwardHost(Rc<Server>);

impl driver::Host for ForwardHost {
    fn with_broker<R>(&self, work: impl FnOnce(&mut Broker) -> R) -> R {
        self.0.with_broker(work)
    }

    fn after_work(&self) {
        self.0.after_work();
    }

    fn now(&self) -> Now {
        self.0.now()
    }

    async fn sleep_until(&self, at: Millis) {
        self.0.sleep_until(at).await;
    }

    async fn progress(&self) {
        self.0.forward_progress().await;
    }
}

/// The recovery report, one line an event.
fn tell(report: &Report) {
    if report.first_start {
        log::info!("the data directory is new");
    } else if !report.clean {
        let Report { frames, batches, .. } = report;
        log::info!("recovered: {frames} journal frames, {batches} record batches in them");
    }
    report.notes.iter().for_each(|note| log::warn!("{note}"));
}

/// The lines on standard output. Returns where it listens.
fn announce(bound: &[Bound], data: &str, cluster_id: &str, took_ms: u64) -> String {
    let addresses: Vec<String> = bound.iter().map(|b| b.address.to_string()).collect();
    let addresses = addresses.join(", ");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "ottla {} accepts on {addresses}, data in {data}, cluster id {cluster_id}, \
         recovered in {took_ms} ms",
        env!("CARGO_PKG_VERSION"),
    )
    .ok();
    if bound.iter().all(|b| b.address.ip().is_loopback()) {
        let port = bound.first().map_or(9092, |b| b.address.port());
        writeln!(
            out,
            "Only programs on this machine can connect; open it to the network with \
             --listen 0.0.0.0:{port}"
        )
        .ok();
    }
    out.flush().ok();
    addresses
}

#[cfg(test)]
mod tests {
    use super::check_descriptors;
    use crate::config::BrokerConfig;
    use crate::limits::Board;

    #[test]
    fn a_board_that_needs_more_files_than_the_system_allows_is_refused_in_one_sentence() {
        let check = |board: &Board, limit| check_descriptors(&BrokerConfig::of(board), limit);
        // 2 × 256 + 16, 128 connections, and the process's own.
        assert!(check(&Board::DEFAULT, 687).unwrap_err().contains("need 688 at least"));
        assert!(check(&Board::DEFAULT, 688).unwrap().unwrap().contains("could need"));
        assert!(check(&Board::DEFAULT, 1_024).unwrap().is_some());
        assert_eq!(check(&Board::DEFAULT, 4_096), Ok(None));
        assert!(check(&Board::DESKTOP, 4_096).is_err());
    }
}
